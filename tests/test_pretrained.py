"""Weights by the names people give them, and networks that come back as they were stored."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.inverse.weights import load_inverse
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import SHIPPED, find_weights, load_network, save_network
from tests.inverse.test_weights import saved as save_tiny_inverse
from tests.neural_renderer.test_weights import saved as save_tiny_renderer


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_local_places(tmp_path: Path) -> None:
    assert find_weights("car") == SHIPPED / "inverse-car.safetensors"
    last = touched(tmp_path / "inverse" / "checkpoints" / "last.ckpt")
    assert find_weights(tmp_path) == find_weights(tmp_path / "inverse") == find_weights(last) == last
    done = touched(tmp_path / "inverse" / "inverse.safetensors")
    for source in (tmp_path, tmp_path / "inverse", done, str(done)):
        assert find_weights(source) == done


@pytest.mark.parametrize("name", ["hf://ann/cars", "hf://ann/cars/deep/other.safetensors"])
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


def test_a_hub_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def hf_hub_download(repository: str, file: str) -> str:
        raise OSError("404: no such entry\nand more")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    with pytest.raises(GanverseError, match=r"inverse.json in ann/cars on the hub.*404: no such entry$"):
        find_weights("hf://ann/cars")


def test_no_hub_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(GanverseError, match=r"ganverse\[hub\]"):
        find_weights("hf://ann/cars")


@pytest.mark.parametrize("name", ["cars", "hf://cars", "hf://ann/cars/x.pt", "a/b/c"])
def test_nothing_of_the_kind(name: str) -> None:
    with pytest.raises(GanverseError, match="expected"):
        find_weights(name)


def test_a_run_without_the_stage(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="train that stage first"):
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
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(data).hexdigest()}))
    with pytest.raises(GanverseError, match=message):
        load_network(nn.Linear(3, 2), path)


INVERSE_CONFIGS: dict[str, dict[str, Any]] = {
    "twelve subdivisions": {"subdivisions": 12},
    "a billion subdivisions": {"subdivisions": 10**9},
    "negative subdivisions": {"subdivisions": -1},
    "no channels": {"channels": []},
    "a thousand levels": {"channels": [8] * 1000, "resolution": 2**62},
    "a million channels": {"channels": [10**6, 10**6]},
    "channels that are words": {"channels": ["8", "8"]},
    "nested channels": {"channels": [[8], [8]]},
    "a billion latents": {"latent": 10**9},
    "no latent": {"latent": 0},
    "a latent of 400 digits": {"latent": 10**400},
    "a latent that is true": {"latent": True},
    "a billion texels": {"texture_size": 10**9},
    "a million texels": {"texture_size": 2**20},
    "no texels": {"texture_size": 0},
    "no texture channels": {"texture_channels": []},
    "forty texture levels": {"texture_channels": [8] * 40},
    "no unshuffling": {"unshuffle": 0},
    "a billion of unshuffling": {"unshuffle": 10**9},
    "no resolution": {"resolution": 0},
    "a resolution of a billion": {"resolution": 2**30},
    "a billion colors": {"palette": 10**9},
    "no colors": {"palette": 0},
    "axes of nothing": {"axes": [0, 0, 0]},
    "two axes": {"axes": [1.0, 1.0]},
    "axes that are no numbers": {"axes": [float("nan")] * 3},
    "endless smoothing": {"smoothing": 1e308},
    "another field": {"depth": 1},
}
INVERSE_CARDS: dict[str, dict[str, Any]] = {
    "a billion views": {"views": 10**9},
    "no views": {"views": 0},
    "views that are a word": {"views": "3"},
    "four views of three": {"views": 4},
    "a config that is a list": {"config": []},
    "no config at all": {"config": None},
    **{name: {"config": changes} for name, changes in INVERSE_CONFIGS.items()},
}
RENDERER_CARDS: dict[str, dict[str, Any]] = {
    "a billion vertices": {"vertices": 10**9},
    "less than no vertices": {"vertices": -1},
    "a billion texels": {"texture_size": 10**9},
    "no texels": {"texture_size": 0},
    "view dimensions beyond the last": {"view_dims": [10**9]},
    "a hundred thousand view dimensions": {"view_dims": list(range(100_000))},
    "view dimensions twice": {"view_dims": [0, 0]},
    "no view dimensions": {"view_dims": []},
    "a billion directions": {"content_directions": 10**9},
    "negative directions": {"content_directions": -1},
    "a billion wide": {"mapping": {"width": 10**9}},
    "a picture of three pixels": {"mapping": {"picture": 3}},
    "a mapping that is a number": {"mapping": 3},
    "another generator": {"generator_architecture": "stylegan9"},
    "a generator of a billion layers": {"generator": {"mapping_layers": 10**9}},
    "a wider generator": {"generator": {"z_dim": 5}},
    "a field nobody knows": {"magic": 1},
}


def merged(card: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for name, value in changes.items():
        inner = isinstance(value, dict) and isinstance(card.get(name), dict)
        card[name] = {**card[name], **value} if inner else value
    return card


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    save_tiny_inverse(folder / "inverse.safetensors")
    save_tiny_renderer(folder / "stylegan-r.safetensors")
    return folder


@pytest.mark.parametrize(
    ("file", "kind", "changes"),
    [
        *(pytest.param("inverse", *case, id=f"inverse: {case[0]}") for case in INVERSE_CARDS.items()),
        *(pytest.param("stylegan-r", *case, id=f"StyleGAN-R: {case[0]}") for case in RENDERER_CARDS.items()),
    ],
)
def test_cards_that_describe_something_else(
    file: str, kind: str, changes: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    """One sentence, before there is a network of gigabytes or one that takes minutes to build."""
    path = tmp_path / f"{file}.safetensors"
    path.symlink_to(trained / path.name)
    card = merged(json.loads((trained / f"{file}.json").read_text()), changes)
    path.with_suffix(".json").write_text(json.dumps(card))
    start, before = time.process_time(), peak()
    with pytest.raises(GanverseError, match="expected") as caught:
        (load_inverse if file == "inverse" else load_stylegan_r)(path)
    assert time.process_time() - start < 10
    assert peak(reset=False) - before < 2**20
    assert len(str(caught.value)) < 400 + 2 * len(str(path))
    assert "\n" not in str(caught.value)


def peak(*, reset: bool = True) -> int:
    """Peak memory in kB since the last reset; 0 where the system is not Linux."""
    status, references = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not references.exists():
        return 0
    if reset:
        references.write_text("5")
    (found,) = re.findall(r"VmHWM:\s+(\d+)", status.read_text())
    return int(found)
