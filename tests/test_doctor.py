"""`ganverse doctor`: prints all it can, whatever is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ganverse import cli
from ganverse.doctor import doctor_command
from ganverse.pretrained import SHIPPED


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_a_healthy_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("Python", "torch", "render backend on cpu", "segmenter-car.safetensors", "matches its card", "wandb"):
        assert word in shown


def test_a_broken_part_hides_no_other(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def choose_backend(*_: object) -> tuple[str, str]:
        raise OSError("Read-only file system: '[/cache]'")

    monkeypatch.setattr("ganverse.rendering.backends.choose_backend", choose_backend)
    monkeypatch.setitem(sys.modules, "ganverse.inverse.perceptual", None)
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    for word in ("Read-only file system: '[/cache]'", "ganverse.inverse.perceptual", "torch", "matches its card"):
        assert word in shown


def test_damaged_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor_command([], tmp_path) == 1
    assert "none in" in capsys.readouterr().out
    source = SHIPPED / "segmenter-car.safetensors"
    for name in "abcd":
        (tmp_path / f"{name}.safetensors").write_bytes(source.read_bytes()[: -1 if name == "b" else None])
    for name, card in (("b", source.with_suffix(".json").read_text()), ("c", "{"), ("d", "{}")):
        (tmp_path / f"{name}.json").write_text(card)
    assert doctor_command([], tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, complaint in (("a", "expected a card"), ("b", "the sha256 of its card"), ("c", "JSON"), ("d", "sha256")):
        (line,) = [line for line in lines if f" {name}.safetensors " in line]
        assert complaint in line
