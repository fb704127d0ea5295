"""Azimuths from silhouettes and images, on the car world, whose azimuths are known."""

from __future__ import annotations

import torch
from torch import Tensor

from ganverse.viewpoints.azimuths import doubled_azimuth, estimate_azimuths, silhouette_moments
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
    found = estimate_azimuths(images, masks, front=0)
    error = away(found.azimuth_degrees, azimuth)
    assert error.median() < 12
    assert (error > 90).float().mean() < 0.25
    assert away(estimate_azimuths(images, masks, front=CODES // 2).azimuth_degrees, found.azimuth_degrees).min() > 179


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
    found = estimate_azimuths(torch.full((8, 2, 3, 32, 32), 0.5), torch.ones(8, 2, 1, 32, 32))
    assert bool(found.azimuth_degrees.isfinite().all())
