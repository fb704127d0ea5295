import math

import pytest
import torch

from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import angular_difference, project
from ganverse.random_streams import latents
from ganverse.worlds.generator import CarWorldGenerator, world_samples


def _styles(world: CarWorldGenerator, count: int, seed: int = 3) -> torch.Tensor:
    return world.styles(world.map(latents(seed, range(count), world.z_dim)))


def test_it_is_an_image_generator() -> None:
    world = CarWorldGenerator(32)
    assert isinstance(world, ImageGenerator)
    assert sum(world.style_sizes) == _styles(world, 2).shape[1]


def test_sample_i_does_not_depend_on_its_batch() -> None:
    world = CarWorldGenerator(16)
    _, images, masks = world_samples(7, torch.tensor([4, 9, 2]), world)
    _, alone, mask_alone = world_samples(7, torch.tensor([9]), world)
    assert torch.equal(images[1:2], alone)
    assert torch.equal(masks[1:2], mask_alone)


def test_mask_is_the_projection_of_the_mesh() -> None:
    world = CarWorldGenerator(48)
    styles = _styles(world, 6)
    _, masks, cameras = world.render_truth(styles)
    image, _ = project(cameras, world.cars(styles).vertices)
    low, high = image.amin(dim=1), image.amax(dim=1)
    for i in range(6):
        rows, columns = (masks[i, 0] > 0.5).nonzero().unbind(dim=1)
        x_low, x_high = 2 * columns.min() / 48 - 1, 2 * (columns.max() + 1) / 48 - 1
        y_high, y_low = 1 - 2 * rows.min() / 48, 1 - 2 * (rows.max() + 1) / 48
        measured = torch.stack([x_low, y_low, x_high, y_high])
        torch.testing.assert_close(measured, torch.cat([low[i], high[i]]).clamp(-1, 1), atol=0.06, rtol=0)


def test_cars_fill_the_frame_all_round() -> None:
    world = CarWorldGenerator(32)
    styles = _styles(world, 1).repeat(12, 1)
    angle = torch.arange(12) * (2 * math.pi / 12)
    styles[:, 0], styles[:, 1] = angle.sin(), angle.cos()
    _, masks, cameras = world.render_truth(styles)
    assert masks.mean(dim=(1, 2, 3)).min() > 0.10, "the paper's filter drops smaller objects"
    assert angular_difference(cameras.azimuth, angle).abs().max() < 1e-5


def test_view_and_content_are_separate() -> None:
    world = CarWorldGenerator(16)
    styles = _styles(world, 2)
    mixed = torch.cat([styles[:1, :4], styles[1:, 4:]], dim=1)
    assert torch.equal(world.cars(mixed).vertices, world.cars(styles[1:]).vertices)
    assert world.cameras(mixed).azimuth.item() == pytest.approx(world.cameras(styles[:1]).azimuth.item())


def test_images_are_pictures() -> None:
    _, images, masks = world_samples(0, torch.arange(4), CarWorldGenerator(24))
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.flatten(1).std(dim=1).min() > 0.05
    partial = ((masks > 0) & (masks < 1)).float().mean()
    assert partial > 0.01, "edges are anti-aliased"
