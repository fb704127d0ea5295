"""Weights by the names people give them, and networks that come back as they were stored."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.pretrained import SHIPPED, find_weights, load_network, save_network, write_card


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
    with pytest.raises(GanverseError, match=r"inverse.json in ann/cars on the hub.*404: no such entry$"):
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
    with pytest.raises(GanverseError, match="train it first"):
        find_weights(tmp_path)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_network(nn.Linear(3, 2), path, {"license": "Apache-2.0"})
    return path


def test_networks_come_back_frozen_and_as_half_precision_stored_them(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    card = save_network(network, tmp_path / "net.safetensors", {"license": "Apache-2.0"})
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert load_network(other, tmp_path / "net.safetensors") == card["sha256"]
    assert torch.equal(other[0].weight, network[0].weight.half().float())
    assert not other.training
    assert not any(p.requires_grad for p in other.parameters())
    assert json.loads((tmp_path / "net.json").read_text())["license"] == "Apache-2.0"


def test_changed_weights_are_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(GanverseError, match="sha256"):
        load_network(nn.Linear(3, 2), saved)


def test_another_architecture_and_a_missing_file_are_explained(saved: Path) -> None:
    with pytest.raises(GanverseError, match="another architecture"):
        load_network(nn.Linear(2, 3), saved)
    with pytest.raises(GanverseError, match="cannot be read"):
        load_network(nn.Linear(3, 2), saved.with_name("none.safetensors"))


@pytest.mark.parametrize("name", ["segmenter-car", "pose-regressor-car"])
def test_shipped_cards_say_license_and_source(name: str) -> None:
    card = json.loads((SHIPPED / f"{name}.json").read_text())
    assert card["license"] == "Apache-2.0"
    assert "car world" in card["trained_on"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected safetensors"),
        (struct.pack("<Q", 2**40) + b"{}", "header of more than"),
        (struct.pack("<Q", 3) + b"{x}", "expected safetensors"),
    ],
    ids=["empty", "header", "broken"],
)
def test_broken_weights_with_the_right_hash(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    write_card(path, {"sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(GanverseError, match=message):
        load_network(nn.Linear(3, 2), path)
