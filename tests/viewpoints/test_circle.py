"""Azimuths out of silhouettes and pictures, on the car world, whose azimuths are known."""

from __future__ import annotations

import torch
from torch import Tensor

from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.circle import doubled_azimuth, read_circle, silhouette_moments
from ganverse.viewpoints.layers import proposed_layers, silhouette_movements
from ganverse.worlds.generator import CarWorldGenerator

CODES, OBJECTS = 48, 2


def pictures(elevation: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """Images, masks [codes, objects, ...] and azimuths in degrees, all round, always the same objects."""
    world = CarWorldGenerator(32)
    contents = world.styles(world.map(torch.randn(OBJECTS, world.z_dim, generator=torch.Generator().manual_seed(4))))
    azimuth = torch.arange(CODES) * 360.0 / CODES
    styles = contents.repeat(CODES, 1)
    angle = azimuth.deg2rad().repeat_interleave(OBJECTS)
    styles[:, 0], styles[:, 1], styles[:, 2] = angle.sin(), angle.cos(), elevation
    images, masks, _ = world.render_truth(styles)
    shape = (CODES, OBJECTS)
    return images.view(*shape, *images.shape[1:]), masks.view(*shape, *masks.shape[1:]), azimuth


def away(found: Tensor, truth: Tensor, period: float = 360.0) -> Tensor:
    return ((found - truth + period / 2).remainder(period) - period / 2).abs()


def test_azimuths_all_round() -> None:
    images, masks, azimuth = pictures()
    half = doubled_azimuth(masks).rad2deg() / 2
    assert away(half, azimuth, 180).median() < 10
    found = read_circle(images, masks, front=0)
    error = away(found.azimuth_degrees, azimuth)
    assert error.median() < 12
    assert (error > 90).float().mean() < 0.25
    assert away(read_circle(images, masks, front=CODES // 2).azimuth_degrees, found.azimuth_degrees).min() > 179


def test_mirrored_pictures_have_the_opposite_azimuth() -> None:
    images, masks, azimuth = pictures()
    error = away(doubled_azimuth(masks.flip(4)).rad2deg() / 2, -azimuth, 180)
    assert error.median() < 10


def test_moments_of_a_known_shape() -> None:
    mask = torch.zeros(1, 1, 1, 40, 40)
    mask[..., 10:20, 5:25] = 1
    spread, tilt = silhouette_moments(mask)
    torch.testing.assert_close(spread, torch.tensor([1 / 12.0]), atol=1e-3, rtol=0)
    assert tilt.abs() < 1e-4
    diagonal = torch.eye(40).flip(0)[None, None, None]
    assert silhouette_moments(diagonal)[1] > 0.99, "up to the right is positive"


def test_silhouettes_that_tell_nothing_are_no_mistake() -> None:
    found = read_circle(torch.full((8, 2, 3, 32, 32), 0.5), torch.ones(8, 2, 1, 32, 32))
    assert bool(found.azimuth_degrees.isfinite().all())


def test_layers_that_move_the_silhouette() -> None:
    torch.manual_seed(1)
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
    )
    movements = silhouette_movements(
        generator, lambda images: (images.mean(dim=1, keepdim=True) > 0.5).float(), pairs=3
    )
    assert len(movements) == len(generator.style_sizes)
    assert max(movements) > 0
    still = silhouette_movements(generator, lambda images: torch.ones_like(images[:, :1]), pairs=2)
    assert still == [0.0] * len(movements)
    assert proposed_layers([0.3, 0.4, 0.2, 0.1]) == 3
    assert proposed_layers([0.3, 0.4, 0.2, 0.1], share=0.7) == 2
    assert proposed_layers([0.0, 0.0]) == 2
