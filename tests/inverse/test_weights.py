"""Inverse networks on disk: exact round trip, small files, checkpoints, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, load_inverse, save_inverse

TINY = InverseNetworkConfig(
    resolution=16, subdivisions=1, unshuffle=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)
CARD = InverseCard(generator="toy", generator_sha256="0" * 64, images_seen=5, seed=0)


def model() -> tuple[InverseGraphicsNetwork, CameraTable]:
    network, cameras = InverseGraphicsNetwork(TINY), CameraTable([10.0, 100.0, 200.0], learn_offset=False)
    torch.nn.init.normal_(network.shape.weight, std=0.1)
    return network.eval(), cameras


def saved(path: Path, *, half: bool = False) -> tuple[InverseGraphicsNetwork, CameraTable]:
    network, cameras = model()
    save_inverse(network, cameras, path, CARD, half=half)
    return network, cameras


def saved_checkpoint(path: Path) -> tuple[InverseGraphicsNetwork, CameraTable]:
    """As `tasks.InverseGraphics` would write it."""
    network, cameras = model()
    owner = torch.nn.ModuleDict({"network": network, "cameras": cameras, "survey": torch.nn.Linear(2, 2)})
    config = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(TINY).items()}
    facts = {
        "hyper_parameters": {"network": config, "cameras": {"learn_offset": False}},
        "images_seen": 5,
        "epoch": 0,
        "global_step": 1,
    }
    torch.save({"state_dict": owner.state_dict(), **facts}, path)
    return network, cameras


@pytest.mark.parametrize("file", ["net.safetensors", "last.ckpt"])
def test_round_trip_is_exact(tmp_path: Path, file: str) -> None:
    network, cameras = (saved_checkpoint if file.endswith("ckpt") else saved)(tmp_path / file)
    loaded = load_inverse(tmp_path / file)
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded.network(image).vertices, network(image).vertices)
    assert torch.equal(loaded.cameras.all().azimuth, cameras.all().azimuth)
    assert loaded.card.config == TINY
    assert (loaded.card.views, loaded.card.learn_offset, loaded.card.images_seen) == (3, False, 5)
    assert not any(p.requires_grad for p in (*loaded.network.parameters(), *loaded.cameras.parameters()))
    assert not loaded.network.training


def test_half_precision_spares_the_cameras(tmp_path: Path) -> None:
    network, cameras = saved(tmp_path / "net.safetensors", half=True)
    loaded = load_inverse(tmp_path / "net.safetensors")
    assert torch.equal(loaded.cameras.all().azimuth, cameras.all().azimuth)
    assert torch.allclose(loaded.network.shape.weight, network.shape.weight, atol=1e-3)
    assert not torch.equal(loaded.network.shape.weight, network.shape.weight)


def test_the_network_alone_by_name_and_from_a_run_directory(tmp_path: Path) -> None:
    network, _ = saved(tmp_path / "inverse" / "inverse.safetensors")
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(InverseGraphicsNetwork.from_pretrained(tmp_path)(image).texture, network(image).texture)
    assert InverseGraphicsNetwork.from_pretrained("car").config.resolution == 64


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    path = tmp_path / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(GanverseError, match="sha256"):
        load_inverse(path)


@pytest.mark.parametrize("text", ["", "[1]", '{"architecture": "stylegan2"}', '{"architecture": "inverse-graphics"}'])
def test_broken_cards_are_refused(tmp_path: Path, text: str) -> None:
    saved(tmp_path / "net.safetensors")
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(GanverseError, match="expected"):
        load_inverse(tmp_path / "net.safetensors")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match=r"net\.json"):
        load_inverse(tmp_path / "net.safetensors")
    saved(tmp_path / "net.safetensors")
    (tmp_path / "net.safetensors").unlink()
    with pytest.raises(GanverseError, match="cannot be read"):
        load_inverse(tmp_path / "net.safetensors")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    card = json.loads((tmp_path / "net.json").read_text())
    card["config"]["latent"] = 8
    (tmp_path / "net.json").write_text(json.dumps(card))
    with pytest.raises(GanverseError, match="another architecture"):
        load_inverse(tmp_path / "net.safetensors")


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    saved_checkpoint(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(GanverseError, match="expected a training checkpoint at"):
        load_inverse(path)
    torch.save({"state_dict": {}, "hyper_parameters": {}}, path)
    with pytest.raises(GanverseError, match="expected a training checkpoint at"):
        load_inverse(path)
