"""Every shipped YAML file is run for at least a step, small; bad settings are one sentence and status 2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml

from ganverse.cli import BAD_INPUT, train
from ganverse.data.sources import open_source
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.masks.segmenter import CAR_WEIGHTS
from ganverse.pipeline.commands import STAGES, stage_settings
from ganverse.pipeline.configuration import docstring_help
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.run_directory import plain
from ganverse.viewpoints.view_codes import ViewCodes
from tests import pipeline_toys as toys

CONFIGS = Path(__file__).parent.parent / "configs"
ABLATIONS = CONFIGS / "ablations"  # studies of several stages each: tests/pipeline/test_ablation.py
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml") if path.parent != ABLATIONS)
STAGE_OF = {
    "demo": "all",
    "gan": "gan",
    "generate": "generate",
    "inverse": "inverse",
    "oracle": "inverse",
    "disentangle": "disentangle",
    "report": "report",
}


def stage_of(file: Path) -> str:
    return STAGE_OF[file.stem.split("-")[-1]]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_gan(tmp_path_factory.mktemp("gan"))


@pytest.fixture
def teacher(tmp_path: Path, generator: Path) -> Path:
    """Weights of an inverse network for the toy GAN, where the stages of tmp_path/run look for them."""
    config = InverseNetworkConfig(
        resolution=toys.SIZE, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
    )
    sha256 = json.loads(generator.with_suffix(".json").read_text())["sha256"]
    path = tmp_path / "run" / "inverse" / "inverse.safetensors"
    cameras = CameraTable([30.0 * k for k in range(toys.VIEWS)])
    save_inverse(InverseGraphicsNetwork(config), cameras, path, InverseCard("toy", sha256, 0, 0))
    return path


def test_nothing_is_left_out() -> None:
    names = {str(file) for file in FILES}
    paper = {f"paper/{name}-{stage}.yaml" for name in ("car", "horse", "bird") for stage in ("inverse", "disentangle")}
    car = {f"car/{name}.yaml" for name in ("gan", "generate", "inverse", "oracle", "disentangle", "report")}
    assert names == {"demo.yaml", "own/inverse.yaml"} | paper | car


@pytest.mark.parametrize("file", FILES, ids=str)
def test_shipped_configuration_runs(file: Path, tmp_path: Path, generator: Path, teacher: Path) -> None:
    stage = stage_of(file)
    source = "car-world" if file.stem == "oracle" else generator
    run = tmp_path / "run"
    if stage == "all":
        teacher.unlink()
        small = toys.pipeline_flags(run, source)
    else:
        small = toys.stage_flags(stage, run, source)
    if file.stem == "oracle":
        small += [f"--data.world_resolution={toys.SIZE}", "--data.world_views=12"]
    if stage == "gan":
        small.append(f"--cache={tmp_path / 'cars.npy'}")
    if file.parent.name == "paper":  # its files of weights are the user's own
        small += [f"--data.view_codes={generator.with_name('toy-views.yaml')}", "--data.masks=segmenter"]
        small.append(f"--data.segmenter={CAR_WEIGHTS}")
    if file.parent.name == "own":  # with `ellipsoid: measured`: tests/test_own_category.py
        small += [f"--data.segmenter={CAR_WEIGHTS}", "--ellipsoid=given"]
    assert train([stage, "--config", str(CONFIGS / file), *small]) == 0
    stages = ("generate", "inverse", "disentangle", "report") if stage == "all" else (stage,)
    for name in stages:
        assert (run / name / "done.json").is_file()
        if name in ("gan", "inverse", "disentangle"):
            assert (run / name / "checkpoints" / "last.ckpt").is_file()
            assert list((run / name / "samples").glob("*.png"))
            lines = [json.loads(line) for line in (run / name / "metrics.jsonl").read_text().splitlines()]
            assert lines[-1]["images"] == json.loads((run / name / "done.json").read_text())["images"]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_value_of_a_configuration_arrives(file: Path) -> None:
    """What stands in the file is in the settings, and the file explains itself."""
    text = (CONFIGS / file).read_text()
    settings = stage_settings(stage_of(file), ["--config", str(CONFIGS / file)])

    def check(stored: dict, arrived: object) -> None:
        for key, value in stored.items():
            if isinstance(value, dict):
                check(value, getattr(arrived, key))
            else:
                assert plain(getattr(arrived, key)) == value, key

    check(yaml.safe_load(text), settings)
    assert text.startswith("# ")


def test_the_paper_is_in_its_files() -> None:
    config = stage_settings("inverse", ["--config", str(CONFIGS / "paper" / "car-inverse.yaml")])
    weights = config.losses
    assert (weights.color, weights.perceptual, weights.silhouette) == (20, 0.5, 3)
    assert (weights.flatten, weights.laplacian, weights.move) == (5, 5, 2.5)
    assert config.schedule.learning_rate == 1e-4
    assert config.schedule.images == 200_000 * config.data.batch * config.data.sampling.views
    config = stage_settings("disentangle", ["--config", str(CONFIGS / "paper" / "car-disentangle.yaml")])
    per_step = config.data.batch * config.data.sampling.views
    assert (config.schedule.warm_up_images, config.schedule.fine_tune_images) == (700 * per_step, 2500 * per_step)
    assert config.schedule.synthesis_rate == 1e-5
    ours = (
        "behind",
        "camera",
        "view",
        "appearance",
        "distill_l1",
        "distill_perceptual",
        "anchor",
        "adversarial",
    )
    assert not any(getattr(config.losses, name) for name in ours)
    assert not config.mapping.background_view
    assert not config.mapping.texture_view
    assert not config.schedule.own_texture
    assert config.schedule.keep_spread == 0


def test_flags_win_over_the_file_and_files_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 5\nschedule: {images: 77}\n")
    config = stage_settings("inverse", ["--config", str(tmp_path / "a.yaml"), "--schedule.images=99", "--logger=wandb"])
    assert (config.seed, config.schedule.images, config.trainer.logger) == (5, 99, "wandb")
    assert config.network == InverseRun().network
    assert stage_settings("inverse", ["--logger", "wandb"]).trainer.logger == "wandb"


def test_every_setting_is_explained() -> None:
    assert docstring_help(InverseRun)["minutes"].startswith("limit of training time")
    assert docstring_help(InverseNetworkConfig)["latent"] == docstring_help(InverseNetworkConfig)["channels"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad files to point at."""
    folder = tmp_path_factory.mktemp("bad")
    toys.save_gan(folder)
    texts = {
        "empty.yaml": "",
        "list.yaml": "[1, 2]",
        "broken.yaml": "network: {latent: [\n",
        "unknown.yaml": "netwrok: {latent: 3}\n",
        "nested.yaml": "network: {latnet: 3}\n",
        "type.yaml": "schedule: {images: many}\n",
        "flat.yaml": "network: 3\n",
        "noviews.safetensors": "",
        "badviews.yaml": "generator: toy\nview_dims: '0-3'\ncodes: []\n",
        "alien.safetensors": "not weights",
        "alien.json": '{"architecture": "stylegan3"}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    torch.manual_seed(1)
    other = toys.save_gan(folder / "other", seed=1)
    (folder / "cut.safetensors").write_bytes(other.read_bytes()[:-10])
    (folder / "cut.json").write_text(other.with_suffix(".json").read_text())
    return folder


TOY = ["--data.generator", "{files}/toy.safetensors"]
WORLD = ["--data.generator", "car-world", "--data.world_views"]
BAD = [
    (["nonsense"], "expected a stage .all, gan, generate"),
    (["inverse", "--config", "{files}/absent.yaml"], "absent.yaml"),
    (["inverse", "--config", "{files}"], "readable file behind --config"),
    (["inverse", "--config", "{files}/empty.yaml"], "`key: value` lines"),
    (["inverse", "--config", "{files}/list.yaml"], "`key: value` lines"),
    (["inverse", "--config", "{files}/broken.yaml"], "cannot be read"),
    (["inverse", "--config", "{files}/unknown.yaml"], "netwrok.*did you mean network"),
    (["inverse", "--config", "{files}/nested.yaml"], "did you mean network.latent"),
    (["inverse", "--config", "{files}/type.yaml"], "schedule.images to be an? int, got many"),
    (["inverse", "--config", "{files}/flat.yaml"], "`key: value` lines"),
    (["inverse", "--config"], "expected one argument"),
    (["inverse", "--trainer.devcies", "2"], "did you mean trainer.devices"),
    (["inverse", "--trainer.devices", "many"], "trainer.devices"),
    (["inverse", "--trainer.devices", "0"], "at least 1, got 0"),
    (["inverse", "--trainer.precision", "fp8"], "bf16-mixed"),
    (["inverse", "--trainer.checkpoint_minutes", "-1"], "above 0, got -1"),
    (["inverse", "--network.axes", "[1, 2]"], "network.axes"),
    (["inverse", "--network.resolution", "33"], "multiple of"),
    (["inverse", *TOY, "--network.resolution", "64"], "that of the generator"),
    (["inverse", "--data.generator", "{files}/absent.safetensors"], "absent.json"),
    (["inverse", "--data.generator", "{files}/noviews.safetensors"], "noviews.json"),
    (["inverse", "--data.generator", "{files}/alien.safetensors"], "card"),
    (["inverse", "--data.generator", "{files}/cut.safetensors"], "sha256"),
    (
        ["inverse", *TOY, "--data.view_codes", "{files}/badviews.yaml"],
        "view code",
    ),
    (
        ["inverse", *TOY, "--data.view_codes", "{files}/other/toy-views.yaml"],
        "toy",
    ),
    (["inverse", *TOY, "--data.masks", "truth"], "only car-world knows"),
    (["inverse", *TOY, "--data.sampling.views", "0"], "positive views"),
    (["inverse", *WORLD, "7"], "multiple of 12"),
    (
        ["inverse", *WORLD, "12", "--data.shards", "{files}"],
        "manifest.json",
    ),
    (["disentangle", *TOY, "--inverse", "{files}/x.safetensors"], "x.json"),
    (
        ["disentangle", *TOY, "--inverse", "{files}/alien.safetensors"],
        "stylegan3",
    ),
    (["report", "--run", "{files}"], "expected trained weights below"),
    (["all", "--report.evaluation.voxels", "x"], "report.evaluation.voxels"),
    (["all", "--inverse.data.batch", "3"], "inverse.data.batch"),
    (["gan", "--settings.batch", "x"], "settings.batch"),
    (["generate", *TOY, "--samples", "0"], "at least one sample"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_sentence(
    arguments: list[str], message: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(files=files) for argument in arguments]
    if given[0] != "report":
        given.append(f"--run={tmp_path / 'run'}")
    assert train(given) == BAD_INPUT
    complaint = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ganverse: ")]
    assert len(complaint) == 1

    assert re.search(message, complaint[0]), complaint[0]
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_teacher_of_another_generator(tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = toys.save_gan(tmp_path / "other", seed=3)
    flags = toys.stage_flags("disentangle", tmp_path / "elsewhere", other)
    assert train(["disentangle", *flags, f"--inverse={teacher}"]) == BAD_INPUT
    assert "run stage inverse on this generator first" in capsys.readouterr().err


def test_other_settings_in_the_same_run(tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = toys.stage_flags("generate", tmp_path / "run", generator)
    assert train(["generate", *flags]) == 0
    assert train(["generate", *flags, "--trainer.threads=2"]) == 0
    assert train(["generate", *flags, "--data.sampling.seed=3"]) == BAD_INPUT
    assert "data.sampling.seed=3 instead of 0" in capsys.readouterr().err


def test_view_codes_lie_beside_the_generator(generator: Path) -> None:
    settings = stage_settings("inverse", toys.data_flags(generator)).data
    source = open_source(settings)
    assert source.codes == ViewCodes.load(generator.with_name("toy-views.yaml"))
    assert source.masker is not None
    assert source.name == "toy"


def test_stages_and_their_files_agree() -> None:
    assert set(STAGE_OF.values()) == set(STAGES)
