"""Studies: every variant is trained once per seed, what is there is not made again, and the table is theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pipeline import ablation
from ganverse.pipeline.ablation import AblationStudy, ablate, configuration, configurations, write_table
from ganverse.pipeline.configuration import Section, build_parser, parse, section_of
from tests import pipeline_toys as toys
from tests.evaluation.tiny_models import TINY_SETTINGS

CONFIGS = Path(__file__).parents[2] / "configs" / "ablations"
TINY = {
    **{setting.split("=")[0]: yaml.safe_load(setting.split("=", 1)[1]) for setting in toys.INVERSE},
    **{flag[2:].split("=")[0]: yaml.safe_load(flag.split("=", 1)[1]) for flag in (*toys.DATA, *toys.TRAINER)},
    "data.world_resolution": toys.SIZE,
    "data.world_views": toys.VIEWS,
    "losses.perceptual": 0.0,
}


def shipped(file: Path) -> AblationStudy:
    section = Section("", AblationStudy)
    return section_of(parse(build_parser("ablate", "", [section]), [f"--config={file}"], None), section)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_variant_changes_what_it_says(file: Path) -> None:
    study = shipped(file)
    variants = study.parsed()
    reference = configuration(study, "full", variants["full"], 0)
    assert all(_value(reference, key) == value for key, value in study.settings.items())
    for name, variant in variants.items():
        config = configuration(study, name, variant, 5)
        assert config.seed == config.data.sampling.seed == 5
        assert config.run == study.run / (variant.of or name) / "seed-5"
        again = replace(config, seed=0, run=reference.run)
        again = replace(again, data=replace(again.data, sampling=replace(again.data.sampling, seed=0)))
        assert (again == reference and variant.rounds == 1) == (name == "full")
        assert configurations(study, name, variant, 5)[0].losses == config.losses
        pictures = config.data.batch * config.data.sampling.views
        assert pictures == reference.data.batch * reference.data.sampling.views, "steps of equal size"


def _value(settings: object, key: str) -> object:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


def test_a_study_of_the_neural_renderer(tmp_path: Path) -> None:
    generator = toys.save_gan(tmp_path)
    sha256 = json.loads(generator.with_suffix(".json").read_text())["sha256"]
    network = InverseNetworkConfig(
        resolution=toys.SIZE, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
    )
    cameras = CameraTable([30.0 * k for k in range(toys.VIEWS)])
    teacher = tmp_path / "inverse.safetensors"
    save_inverse(InverseGraphicsNetwork(network), cameras, teacher, InverseCard("toy", sha256, 0, 0))
    tiny = [*toys.flags(toys.DISENTANGLE), *toys.data_flags(generator), *toys.TRAINER, f"--inverse={teacher}"]
    later = [*toys.flags(toys.INVERSE), *toys.TRAINER]
    study = AblationStudy(
        tmp_path / "study",
        "disentangle",
        "car/disentangle.yaml",
        _settings(tiny),
        {"full": {"meaning": "once"}, "two-rounds": {"meaning": "twice", "rounds": 2, "of": "full"}},
        seeds=[0],
        later_inverse=_settings(later),
        evaluation=replace(TINY_SETTINGS, figure_objects=1, edited_pictures=0, world_objects=0),
        page=tmp_path / "page.md",
        heading="# Study\n",
    )
    assert ablate(study)
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert lines[0] == "# Study"
    assert lines[2].startswith("| variant | seeds | stylegan_r/azimuth_error_deg")
    assert [line.split(":")[0] for line in lines[4:]] == ["| full", "| two-rounds"]
    assert not (tmp_path / "study" / "two-rounds").exists(), "the first round is there already"
    second = tmp_path / "study" / "full" / "seed-0" / "round-2"
    assert (second / "inverse" / "inverse.safetensors").is_file()
    assert load_stylegan_r(second / "disentangle" / "stylegan-r.safetensors")[1].images_seen == 8


def _settings(flags: list[str]) -> dict[str, object]:
    pairs = (flag.removeprefix("--").split("=", 1) for flag in flags)
    return {key: yaml.safe_load(value) for key, value in pairs}


def test_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variants = {
        "full": {"meaning": "two views"},
        "one-view": {"meaning": "one view", "overrides": {"data.sampling.views": 1, "data.batch": 4}},
        "few": {"meaning": "two objects", "overrides": {"data.sampling.objects": 2, "cameras.noise.bins": 4}},
    }
    evaluation = replace(TINY_SETTINGS, figure_objects=1, held_out_objects=3)
    study = AblationStudy(
        tmp_path, base="car/oracle.yaml", settings=TINY, variants=variants, seeds=[0], evaluation=evaluation
    )
    assert ablate(replace(study, only=["full", "one-view"]))
    numbers = json.loads((tmp_path / "ablations.json").read_text())
    assert set(numbers) == {"full", "one-view"}
    found = json.loads((tmp_path / "one-view" / "seed-0" / "report" / "scores.json").read_text())
    assert numbers["one-view"]["numbers"]["oracle/iou_3d"]["mean"] == pytest.approx(found["oracle/iou_3d"]["value"])
    table = (tmp_path / "ablations.md").read_text()
    assert "| one-view: one view | 1 |" in table
    assert "few" not in table

    evaluated = []
    genuine = ablation.report
    monkeypatch.setattr(ablation, "report", lambda config: evaluated.append(config.run) or genuine(config))
    written = (tmp_path / "full" / "seed-0" / "inverse" / "inverse.safetensors").stat().st_mtime_ns
    assert ablate(study)
    assert evaluated == [tmp_path / "few" / "seed-0"]
    assert (tmp_path / "full" / "seed-0" / "inverse" / "inverse.safetensors").stat().st_mtime_ns == written
    assert [row.name for row in write_table(study)] == ["full", "one-view", "few"]
    with pytest.raises(GanverseError, match="go on with the settings it began with"):
        ablate(replace(study, settings={**TINY, "schedule.learning_rate": 0.5}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("variants: {}", "at least one variant"),
        ("variants: {a: {meening: x}}", "`meaning` and `overrides`"),
        ("variants: {a: {meaning: x, overrides: {losses.colr: 1}}}", "did you mean losses.color"),
        ("variants: {a: {meaning: x}}\nonly: [b]", "--only of a, got b"),
        ("variants: {a: {meaning: x}}\nbase: none.yaml", "none.yaml"),
        ("variants: {a: {meaning: x, rounds: 2}}", "got 2 for a"),
        ("variants: {a: {meaning: x, rounds: 2, of: b}}", "expected a to be a later round"),
        ("variants: {a: {meaning: x}, b: {meaning: x, rounds: 2, of: a, overrides: {seed: 1}}}", "expected b to be a"),
        ("color: red", "color"),
    ],
)
def test_wrong_studies(settings: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(f"run: {tmp_path / 'runs'}\n{settings}\n")
    assert cli.main(["ablate", "--config", str(tmp_path / "study.yaml")]) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
