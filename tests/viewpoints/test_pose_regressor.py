import torch

from ganverse.io import to_bytes
from ganverse.viewpoints.pose_regressor import (
    CAR_WEIGHTS,
    PoseLabels,
    PoseRegressor,
    RegressorTraining,
    regressor_errors,
    train_pose_regressor,
)
from ganverse.worlds.cars import HALF_LENGTH
from ganverse.worlds.generator import CarWorldGenerator, world_samples


def _labels(styles: torch.Tensor) -> PoseLabels:
    world = CarWorldGenerator()
    cameras, cars = world.cameras(styles), world.cars(styles)
    height = cars.height / (2 * HALF_LENGTH)
    return PoseLabels(cameras.azimuth, cameras.elevation, height, cars.body_type, cars.body_color)


def _disc(count: int) -> tuple[torch.Tensor, PoseLabels]:
    """A bright disc that goes round the picture's center like a hand of a clock; its color is the paint."""
    azimuth = torch.rand(count) * 6.283 - 3.1415
    grid = torch.linspace(-1, 1, 64)
    x, y = 0.5 * azimuth.sin()[:, None, None], -0.5 * azimuth.cos()[:, None, None]
    disc = ((grid - x) ** 2 + (grid[:, None] - y) ** 2 < 0.06).float()[:, None]
    color = torch.rand(count, 3)
    images = disc * color[:, :, None, None] + (1 - disc) * 0.5
    zeros = torch.zeros(count)
    return to_bytes(images), PoseLabels(azimuth, zeros, zeros + 0.344, zeros.long(), color)


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in PoseRegressor().parameters()) < 1_000_000
    assert CAR_WEIGHTS.stat().st_size < 2_000_000


def test_other_sizes_are_resized() -> None:
    reading = PoseRegressor().eval()(torch.rand(2, 3, 96, 96))
    assert reading.azimuth.shape == (2,)
    assert reading.body_type.shape == (2, 6)
    assert 0 <= reading.color.min() <= reading.color.max() <= 1


def test_training_learns_an_angle_all_round() -> None:
    images, labels = _disc(256)
    settings = RegressorTraining(steps=40, batch=16)
    regressor = train_pose_regressor(images, labels, settings)
    errors = regressor_errors(regressor, *_disc(64))
    assert errors.azimuth_deg < 25
    assert errors.azimuth_flips < 0.1


def test_the_shipped_regressor_reads_unseen_renders() -> None:
    styles, images, _ = world_samples(4321, torch.arange(100), CarWorldGenerator())
    errors = regressor_errors(PoseRegressor.car(), to_bytes(images), _labels(styles))
    assert errors.azimuth_deg < 2.0
    assert errors.azimuth_flips == 0.0
    assert errors.elevation_deg < 1.0
    assert errors.height < 0.015
    assert errors.type_accuracy > 0.9
    assert errors.color < 0.08
