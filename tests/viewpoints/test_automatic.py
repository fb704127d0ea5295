"""View codes without annotation: which layers turn the object, which codes are kept, and their azimuths."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.masks.masker import Masks
from ganverse.viewpoints.automatic import (
    AutomaticSettings,
    AzimuthEstimate,
    choose_codes,
    doubled_azimuth,
    estimate_azimuths,
    find_automatic_views,
    layer_movements,
    propose_layers,
    silhouette_moments,
)
from ganverse.worlds.generator import CarWorldGenerator

CONFIG = StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
CODES, OBJECTS = 48, 2


class Threshold:
    """A masker that takes bright pixels for the object."""

    name = "threshold"

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        foreground = (images.mean(dim=1, keepdim=True) > 0.5).float()
        return Masks(foreground, torch.ones(len(images), dtype=torch.long))


class Everything:
    """A masker that never tells objects from background."""

    name = "everything"

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        return Masks(torch.ones_like(images[:, :1]), torch.ones(len(images), dtype=torch.long))


def test_layers_that_move_the_silhouette() -> None:
    torch.manual_seed(1)
    generator = StyleGAN2Generator(CONFIG)
    movements = layer_movements(generator, Threshold(), pairs=3)
    assert len(movements) == len(generator.style_sizes)
    assert max(movements) > 0
    assert layer_movements(generator, Everything(), pairs=2) == [0.0] * len(movements)


def test_the_first_layers_that_make_most_of_the_movement_are_proposed() -> None:
    lines: list[str] = []
    assert propose_layers([0.3, 0.4, 0.2, 0.1], lines.append) == 3
    assert lines[1] == "layer 2 moves the silhouette by 0.400, 70% of the total so far"
    assert propose_layers([0.8, 0.1, 0.1]) == 1
    assert propose_layers([0.0, 0.0]) == 2


def test_the_best_code_of_every_bin_comes_first() -> None:
    azimuth = torch.tensor([0.0, 5.0, 355.0, 120.0, 240.0])
    estimate = AzimuthEstimate(azimuth, torch.tensor([0.9, 0.8, 0.95, 0.1, 0.2]))
    assert choose_codes(estimate, 3) == [3, 4, 2]
    assert choose_codes(estimate, 4) == [0, 3, 4, 2]


def test_codes_are_found_whatever_the_silhouettes_say() -> None:
    generator = StyleGAN2Generator(CONFIG)
    lines: list[str] = []
    settings = AutomaticSettings(pool=10, objects=2, codes=4)
    for masker in (Threshold(), Everything()):
        found = find_automatic_views(generator, "toy", masker, settings, lines.append)
        assert found.images.shape == (4, 2, 3, 16, 16)
        assert len(found.codes) == 4
        assert set(found.codes.uncertain) <= {code.seed for code in found.codes.codes}
        again = find_automatic_views(generator, "toy", masker, settings)
        assert again.codes == found.codes
    assert "layer 1" in lines[0]


def test_impossible_settings() -> None:
    with pytest.raises(GanverseError, match="expected pool to be from 8 to 100000, got 4"):
        AutomaticSettings(pool=4)
    with pytest.raises(GanverseError, match="between 1 and 6 view layers"):
        find_automatic_views(StyleGAN2Generator(CONFIG), "toy", Everything(), AutomaticSettings(layers=99))


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
