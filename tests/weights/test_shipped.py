import json
from pathlib import Path

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.pretrained import SHIPPED, load_network, save_network


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
