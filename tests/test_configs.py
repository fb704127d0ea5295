"""Every shipped YAML file: LightningCLI's are parsed and trained for a step, pipelines are read stage by stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ganverse.cli import train
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.masks.segmenter import CAR_WEIGHTS
from ganverse.tasks.inverse_graphics import InverseGraphics
from ganverse.training.pipeline import read_pipeline
from tests import pipeline_toys as toys

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml"))
PIPELINES = [file for file in FILES if file.stem in ("demo", "rounds")]
STAGES = [file for file in FILES if file not in PIPELINES]
NETWORK = InverseNetworkConfig(
    resolution=toys.SIZE, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_gan(tmp_path_factory.mktemp("gan"))


@pytest.fixture(scope="module")
def inverse(generator: Path) -> Path:
    """Weights of an inverse network for the toy GAN."""
    sha256 = json.loads(generator.with_suffix(".json").read_text())["sha256"]
    path = generator.with_name("inverse.safetensors")
    cameras = CameraTable([30.0 * k for k in range(toys.VIEWS)])
    save_inverse(InverseGraphicsNetwork(NETWORK), cameras, path, InverseCard("toy", sha256, 0, 0))
    return path


def read(file: Path) -> dict:
    return yaml.safe_load((CONFIGS / file).read_text())


def small(file: Path, settings: dict, root: Path, generator: Path, inverse: Path) -> list[str]:
    """Flags that replace the sizes and the files of weights in `settings` by toys."""
    model = settings["model"]["class_path"]
    given = toys.shrunk(model, root)
    if model == "ImageGAN":
        return [*given, f"--data.cache={root / 'cars.npy'}"]
    source = settings["data"]["init_args"].get("generator", "")
    if source == "car-world":
        given += ["--data.world_views=12", f"--data.resolution={toys.SIZE}"]
    else:
        given += [f"--data.generator={generator}", f"--data.segmenter={CAR_WEIGHTS}"]
    if file.parent.name == "paper":  # instead of a download
        given.append("--data.masks=segmenter")
    if model == "Disentanglement":
        given.append(f"--model.inverse={inverse}")
    if model == "DatasetGeneration":
        given.append(f"--model.output={root / 'shards'}")
    return given


def test_nothing_is_left_out() -> None:
    names = {str(file) for file in FILES}
    paper = {f"paper/{name}-{stage}.yaml" for name in ("car", "horse", "bird") for stage in ("inverse", "disentangle")}
    car = {f"car/{name}.yaml" for name in ("gan", "generate", "inverse", "oracle", "disentangle", "rounds")}
    assert names == {"demo.yaml", "own/inverse.yaml"} | paper | car


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_explains_itself(file: Path) -> None:
    text = (CONFIGS / file).read_text()
    assert text.startswith("# ")
    assert f"configs/{file}" in text or file.stem == "demo"


@pytest.mark.parametrize("file", STAGES, ids=str)
def test_one_step_of_every_stage(file: Path, tmp_path: Path, generator: Path, inverse: Path) -> None:
    settings = read(file)
    command = "predict" if settings["model"]["class_path"] == "DatasetGeneration" else "fit"
    given = small(file, settings, tmp_path, generator, inverse)
    assert train([command, "--config", str(CONFIGS / file), *given, "--trainer.fast_dev_run=true"]) == 0
    left = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert not left & {".ckpt", ".safetensors", ".csv"}, "a trial leaves no training behind"


@pytest.mark.parametrize("file", STAGES, ids=str)
def test_every_value_arrives(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in the file is in the configuration that Lightning prints."""
    settings = read(file)
    command = "predict" if settings["model"]["class_path"] == "DatasetGeneration" else "fit"
    with pytest.raises(SystemExit) as stop:
        train([command, "--config", str(CONFIGS / file), "--print_config"])
    assert stop.value.code == 0
    arrived = yaml.safe_load(capsys.readouterr().out)
    for part in ("model", "data"):
        assert arrived[part].pop("class_path").split(".")[-1] == settings[part].pop("class_path")

    def check(stored: dict, arrived: dict) -> None:
        for key, value in stored.items():
            if isinstance(value, dict):
                check(value, arrived[key])
            else:
                assert str(arrived[key]) == str(value) or arrived[key] == value, key

    interval = settings.get("checkpoint", {}).pop("train_time_interval", None)
    assert interval is None or str(arrived["checkpoint"]["train_time_interval"]) == interval
    check(settings, arrived)


@pytest.mark.parametrize("file", PIPELINES, ids=str)
def test_every_stage_of_a_pipeline_is_one_step(file: Path, tmp_path: Path, generator: Path, inverse: Path) -> None:
    """Each stage alone; the settings that name a file of an earlier stage are given toys."""
    stages = read_pipeline(CONFIGS / file, tmp_path)
    assert [stage.command for stage in stages].count("evaluate") >= 1
    for stage in stages:
        assert stage.folder == tmp_path / stage.name
        if stage.command == "evaluate":
            continue
        config = tmp_path / "stage.yaml"
        settings = json.loads(json.dumps(stage.settings))
        for part, names in (("model", ("start",)), ("data", ("renderer", "reader"))):
            for name in names:
                settings[part]["init_args"].pop(name, None)
        config.write_text(yaml.safe_dump(settings))
        given = small(file, settings, stage.folder, generator, inverse)
        assert train([stage.command, "--config", str(config), *given, "--trainer.fast_dev_run=true"]) == 0


def test_rounds_hand_over_their_weights(tmp_path: Path) -> None:
    """Every file that a stage reads is left by an earlier one."""
    for file in PIPELINES:
        written: set[str] = set()
        for stage in read_pipeline(CONFIGS / file, tmp_path):
            flat = json.dumps(stage.settings)
            wanted = {word for word in flat.split('"') if word.startswith(str(tmp_path)) and word.endswith("tensors")}
            assert wanted <= written, stage.name
            written.add(str(stage.folder / str(stage.settings.get("weights"))))


@pytest.mark.parametrize("category", ["car", "horse", "bird"])
def test_the_papers_networks_are_built_as_they_stand(category: str) -> None:
    """Not shrunk as above."""
    model = read(Path(f"paper/{category}-inverse.yaml"))["model"]["init_args"]
    stated = {name: tuple(value) if isinstance(value, list) else value for name, value in model["network"].items()}
    network = InverseGraphics(network=InverseNetworkConfig(**stated), azimuth_degrees=(0.0,)).network
    assert network.config.resolution == (512 if category == "car" else 256)


def test_the_paper_is_in_its_files() -> None:
    """Numbers of the paper, sections 3 and 4; 16 images a step."""
    for category in ("car", "horse", "bird"):
        inverse = read(Path(f"paper/{category}-inverse.yaml"))["model"]["init_args"]
        weights = [inverse["losses"][name] for name in ("color", "perceptual", "silhouette", "flatten", "laplacian")]
        assert weights == [20, 0.5, 3, 5, 5]
        assert inverse["losses"]["move"] == 2.5
        assert (inverse["learning_rate"], inverse["decay"], inverse["weight_decay"]) == (1e-4, False, 0)
        assert (inverse["survey"]["at"], inverse["ema_half_life"]) == ([], 0)
        assert inverse["images"] == 200_000 * 16
        config = read(Path(f"paper/{category}-disentangle.yaml"))
        model = config["model"]["init_args"]
        assert config["data"]["init_args"]["batch_size"] * 2 == 16
        settings = model["settings"]
        assert (settings["warm_up_images"], settings["fine_tune_images"]) == (700 * 16, 2500 * 16)
        assert (settings["synthesis_rate"], settings["decay"]) == (1e-5, False)
        ours = ("background_pixels", "camera", "view", "appearance", "distill_l1", "distill_perceptual", "anchor")
        assert not any(model["losses"][name] for name in ours)
        assert not any(model["mapping"].values())
        assert not settings["own_texture"]
        assert settings["keep_spread"] == 0
