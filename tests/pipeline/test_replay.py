"""A batch that stops a training is made again, bit by bit, by `train.py --replay`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ganverse.cli import BAD_INPUT, train
from ganverse.errors import GanverseError
from ganverse.inverse import objective
from ganverse.neural_renderer import losses
from ganverse.pipeline.replay import read_stop
from ganverse.tasks import image_gan
from tests import pipeline_toys as toys


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_gan(tmp_path_factory.mktemp("gan"))


class Spoiled:
    """A loss whose value (or else only its gradient) is not finite from the second call on; remembers its values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, gradient_only: bool = False):
        self.real, self.gradient_only = getattr(module, name), gradient_only
        self.values: list[torch.Tensor] = []
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: object) -> torch.Tensor:
        value = self.real(*arguments)
        self.values.append(value.detach().clone())
        if len(self.values) == 1:
            return value
        return value + (value - value.detach()).sqrt() if self.gradient_only else value * float("nan")


def replayed(stage: str, flags: list[str], spoiled: Spoiled, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    """The facts of a training that stops at its second step, and what the replay prints; the values must be equal."""
    run = Path(next(flag for flag in flags if flag.startswith("--run=")).split("=")[1])
    assert train([stage, *flags]) == BAD_INPUT
    path = run / stage / "non-finite.json"
    assert f"train.py --replay {path}" in capsys.readouterr().err
    assert len(spoiled.values) == 2
    assert train(["--replay", str(path)]) == 0
    assert torch.equal(spoiled.values[2], spoiled.values[1])
    return json.loads(path.read_text()), capsys.readouterr().out


@pytest.mark.parametrize("gradient_only", [False, True])
def test_inverse(
    tmp_path: Path,
    generator: Path,
    gradient_only: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoiled = Spoiled(monkeypatch, objective, "camera_loss", gradient_only=gradient_only)
    flags = [*toys.stage_flags("inverse", tmp_path, generator), "--losses.perceptual=0", "--minutes=60"]
    facts, said = replayed("inverse", flags, spoiled, capsys)
    assert (facts["images_seen"], facts["indices"], facts["schedule"]["images"]) == (4, [2, 3], 8)
    assert facts["what"].startswith("the gradient of network." if gradient_only else "the loss")
    assert "not finite: camera\n" in said
    assert ("camera │ nan" in said.replace("  ", "")) != gradient_only


def test_gan(
    tmp_path: Path, generator: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = Spoiled(monkeypatch, image_gan, "r1_penalty")
    flags = [*toys.stage_flags("gan", tmp_path, generator), f"--cache={tmp_path / 'x.npy'}", "--settings.r1_interval=1"]
    facts, said = replayed("gan", flags, spoiled, capsys)
    assert (facts["images_seen"], facts["indices"]) == (4, [4, 5, 6, 7])
    assert "not finite: discriminator, r1\n" in said


def test_disentangle(
    tmp_path: Path, generator: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["inverse", *toys.stage_flags("inverse", tmp_path, generator), "--schedule.images=4"]) == 0
    spoiled = Spoiled(monkeypatch, losses, "view_distance")
    flags = [*toys.stage_flags("disentangle", tmp_path, generator), "--schedule.warm_up_images=4"]
    facts, said = replayed("disentangle", [*flags, "--schedule.fine_tune_images=12"], spoiled, capsys)
    assert facts["images_seen"] == 8, "one step of warm-up, one of fine-tuning"
    assert "not finite: view\n" in said


def test_a_refused_step_is_kept_too(tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*toys.stage_flags("inverse", tmp_path, generator), "--schedule.learning_rate=1e38"]
    assert train(["inverse", *flags]) == BAD_INPUT
    capsys.readouterr()
    assert train([f"--replay={tmp_path / 'inverse' / 'non-finite.json'}"]) == 0
    said = capsys.readouterr().out
    assert "it had stopped for an error: " in said
    assert "the step says: " in said


def test_what_cannot_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GanverseError, match="got FileNotFoundError"):
        read_stop(tmp_path / "non-finite.json")
    (tmp_path / "non-finite.json").write_text("{}")
    with pytest.raises(GanverseError, match=r"non-finite\.pt beside it"):
        read_stop(tmp_path / "non-finite.json")
    for arguments in (["--replay"], ["--replay", "a", "b"]):
        assert train(arguments) == BAD_INPUT
        assert "--replay FILE and nothing else" in capsys.readouterr().err
    facts = {"what": "x", "images_seen": 0, "world": 1, "indices": [], "schedule": {}}
    (tmp_path / "non-finite.json").write_text(json.dumps(facts))
    torch.save({}, tmp_path / "non-finite.pt")
    assert train(["--replay", str(tmp_path / "non-finite.json")]) == BAD_INPUT
    assert "in the folder of a stage" in capsys.readouterr().err
