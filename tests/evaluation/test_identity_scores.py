import pytest
import torch

from ganverse.evaluation.gan_identity import GridReadings, read_grid
from ganverse.evaluation.identity_scores import identity_scores, measured_cameras
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, view_styles
from ganverse.worlds.generator import CarWorldGenerator
from tests.evaluation.tiny_models import tiny_world

CODES = ViewCodes("any", (0,), tuple(ViewCode(seed, 90.0 * seed) for seed in range(4)))


def readings(objects: int = 30, spread: float = 0.1) -> GridReadings:
    azimuth = torch.arange(4) * torch.pi / 2 + spread * torch.randn(objects, 4)
    azimuth = torch.remainder(azimuth + torch.pi, 2 * torch.pi) - torch.pi
    types = torch.nn.functional.one_hot(torch.arange(objects) % 3, 3).float()[:, None].expand(-1, 4, -1)
    color = torch.rand(objects, 1, 3).expand(-1, 4, -1)
    return GridReadings(azimuth, torch.full((objects, 4), 0.2), torch.rand(objects, 4), types, color)


def test_intervals_surround_the_numbers() -> None:
    scores = identity_scores(readings(), CODES)
    spread = scores["azimuth_spread_deg"]
    assert spread.low is not None
    assert spread.high is not None
    assert spread.low < spread.value < spread.high + 0.3
    assert spread.value == pytest.approx(5.7, abs=1)
    assert scores["azimuth_flips"].value == 0
    assert scores["identity_color"].value == pytest.approx(1, abs=1e-4)
    assert scores["identity_height"].value < 0.5
    assert scores["identity_type"].count == 30


def test_measured_cameras_stand_where_the_objects_are_seen_from() -> None:
    cameras = measured_cameras(readings(spread=0.02))
    expected = torch.tensor([0.0, 90.0, 180.0, 270.0])
    off = (cameras.azimuth.rad2deg() - expected + 180).remainder(360) - 180
    assert off.abs().max() < 1.5
    assert cameras.elevation.tolist() == pytest.approx([0.2] * 4)
    # A car fills the frame from further away when it is seen from the side.
    assert cameras.distance[1] > cameras.distance[0]


def test_the_car_world_is_measured_within_a_few_degrees() -> None:
    source = tiny_world()
    world = CarWorldGenerator(64)
    grid = read_grid(world, source.codes, PoseRegressor.car(), objects=3, seed=1, batch=36)
    views = view_styles(world, source.codes)
    true = torch.atan2(views[:, 0], views[:, 1])
    off = torch.remainder(measured_cameras(grid).azimuth - true + torch.pi, 2 * torch.pi) - torch.pi
    assert off.abs().rad2deg().median() < 4
