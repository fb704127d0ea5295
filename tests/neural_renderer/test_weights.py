"""StyleGAN-R on disk: exact round trip and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.framing import Framing, framed
from ganverse.generators.protocol import SubspaceGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import StyleGANRCard, described_generator, load_stylegan_r, save_stylegan_r
from tests.importing_toys import stylegan1, stylegan2

GENERATOR = StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(6, 4), view_layers=2)
MAPPING = MappingSettings(camera_width=8, width=8, channels=2)
CARD = StyleGANRCard(GENERATOR, (0, 3), 6, 8, MAPPING, "a" * 64, "b" * 64, images_seen=7, seed=1)


def saved(path: Path, *, half: bool = False) -> StyleGANR:
    renderer = StyleGANR(StyleGAN2Generator(GENERATOR), (0, 3), vertices=6, texture_size=8, settings=MAPPING)
    renderer.calibrate(torch.randn(9, sum(renderer.generator.style_sizes)), cameras(9), torch.randn(9, 6, 3))
    save_stylegan_r(renderer, path, CARD, half=half)
    return renderer.eval()


def cameras(count: int) -> Cameras:
    return Cameras.from_degrees(torch.arange(count) * 30.0, [10.0] * count, [3.0] * count)


@pytest.mark.parametrize("half", [False, True])
def test_round_trip(tmp_path: Path, half: bool) -> None:
    renderer = saved(tmp_path / "r.safetensors", half=half)
    loaded, card = load_stylegan_r(tmp_path / "r.safetensors")
    inputs = (cameras(2), torch.randn(2, 6, 3), torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    assert torch.allclose(loaded(*inputs), renderer(*inputs), atol=1e-2 if half else 0)
    assert (card.view_dims, card.images_seen, card.mapping, card.generator) == ((0, 3), 7, MAPPING, GENERATOR)
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("make", [stylegan1, stylegan2])
def test_imported_generators_round_trip(tmp_path: Path, make: Any) -> None:
    path, network = tmp_path / "r.safetensors", make(resolution=8, channels=(4, 3))
    renderer = StyleGANR(network, (0, 3), vertices=6, texture_size=8, settings=MAPPING)
    renderer.calibrate(torch.randn(9, sum(network.style_sizes)), cameras(9), torch.randn(9, 6, 3))
    save_stylegan_r(renderer, path, replace(CARD, generator=described_generator(network)[0]))
    loaded, card = load_stylegan_r(path)
    inputs = (cameras(2), torch.randn(2, 6, 3), torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    assert torch.equal(loaded(*inputs), renderer.eval()(*inputs))
    assert card.generator == network.config


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    with pytest.raises(GanverseError, match=r"r\.json"):
        load_stylegan_r(path)
    saved(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(GanverseError, match="sha256"):
        load_stylegan_r(path)
    path.with_suffix(".json").write_text('{"architecture": "inverse-graphics"}')
    with pytest.raises(GanverseError, match="stylegan-r"):
        load_stylegan_r(path)


def test_a_directed_generator_round_trip(tmp_path: Path) -> None:
    network = StyleGAN2Generator(GENERATOR)
    read = torch.randn(sum(network.style_sizes), 2)
    directed = SubspaceGenerator(network, read, torch.linalg.pinv(read).T)
    renderer = StyleGANR(directed, (0, 1), vertices=6, texture_size=8, settings=MAPPING)
    renderer.calibrate(torch.randn(9, sum(directed.style_sizes)), cameras(9), torch.randn(9, 6, 3))
    config, directions = described_generator(directed)
    assert (config, directions) == (GENERATOR, 2)
    path = tmp_path / "r.safetensors"
    save_stylegan_r(renderer, path, replace(CARD, view_dims=(0, 1), content_directions=directions))
    inputs = (cameras(2), torch.randn(2, 6, 3), torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    assert torch.allclose(load_stylegan_r(path)[0](*inputs), renderer.eval()(*inputs))


@pytest.mark.parametrize(("crop", "side"), [((12, 16), 16), ((12, 16), 8), (None, 8)])
def test_images_have_the_generator_s_size_and_backgrounds_that_of_the_frame(
    crop: tuple[int, int] | None, side: int, tmp_path: Path
) -> None:
    path, network = tmp_path / "r.safetensors", stylegan2(crop=crop)
    renderer = StyleGANR(framed(network, side), (0, 3), vertices=6, texture_size=8, settings=MAPPING)
    renderer.calibrate(torch.randn(9, sum(network.style_sizes)), cameras(9), torch.randn(9, 6, 3))
    config = described_generator(framed(network, side))[0]
    save_stylegan_r(renderer, path, replace(CARD, generator=config, resolution=side))
    loaded, _ = load_stylegan_r(path)
    inputs = (cameras(2), torch.randn(2, 6, 3), torch.rand(2, 3, 8, 8), torch.rand(2, 3, side, side))
    images = loaded(*inputs)
    assert images.shape[2:] == (crop or (16, 16))
    assert torch.equal(images, renderer.eval()(*inputs))
    assert loaded.framing == Framing(*(crop or (16, 16)), side)
