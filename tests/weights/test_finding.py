"""Weights by the names people give them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganverse.errors import GanverseError
from ganverse.pretrained import SHIPPED, find_weights


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_local_places(tmp_path: Path) -> None:
    assert find_weights("car") == SHIPPED / "inverse-car.safetensors"
    last = touched(tmp_path / "inverse" / "checkpoints" / "last.ckpt")
    assert find_weights(tmp_path) == find_weights(tmp_path / "inverse") == find_weights(last) == last
    done = touched(tmp_path / "inverse" / "inverse.safetensors")
    for source in (tmp_path, tmp_path / "inverse", done, done.with_suffix(".json"), str(done)):
        assert find_weights(source) == done


@pytest.mark.parametrize("name", ["ann/cars", "hf://ann/cars", "hf://ann/cars/deep/other.safetensors"])
def test_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hf_hub_download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    monkeypatch.chdir(tmp_path)
    file = "deep/other" if name.endswith("safetensors") else "inverse"
    assert find_weights(name) == tmp_path / f"{file}.safetensors"
    assert asked == [("ann/cars", f"{file}.json"), ("ann/cars", f"{file}.safetensors")]
    touched(tmp_path / "ann" / "cars" / "inverse.safetensors")
    if "://" not in name:
        assert find_weights(name) == Path("ann/cars/inverse.safetensors")


def test_a_hub_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def hf_hub_download(repository: str, file: str) -> str:
        raise OSError("404: no such entry\nand more")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    with pytest.raises(GanverseError, match=r"inverse.safetensors and its card in ann/cars.*404: no such entry$"):
        find_weights("hf://ann/cars")


def test_no_hub_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(GanverseError, match=r"ganverse\[hub\]"):
        find_weights("ann/cars")


@pytest.mark.parametrize("name", ["cars", "hf://cars", "hf://ann/cars/x.pt", "a/b/c"])
def test_nothing_of_the_kind(name: str) -> None:
    with pytest.raises(GanverseError, match="expected"):
        find_weights(name)


def test_a_run_without_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="train it with"):
        find_weights(tmp_path)
