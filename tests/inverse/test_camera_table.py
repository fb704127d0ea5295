from __future__ import annotations

import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import project
from ganverse.inverse.camera_table import CameraTable


def test_starts_at_the_annotation():
    table = CameraTable([0.0, 30.0, 270.0], elevation_degrees=10.0, distance=3.5)
    cameras = table(torch.tensor([2, 0]))
    torch.testing.assert_close(cameras.azimuth.rad2deg(), torch.tensor([270.0, 0.0]))
    torch.testing.assert_close(cameras.elevation.rad2deg(), torch.tensor([10.0, 10.0]))
    torch.testing.assert_close(cameras.distance, torch.tensor([3.5, 3.5]))
    assert cameras.offset.abs().max() == 0
    assert len(table) == 3


def test_the_mean_log_distance_is_pinned_whatever_the_optimizer_does():
    table = CameraTable([0.0, 90.0, 180.0])
    table.log_distance.data += torch.tensor([-0.3, 0.0, 0.3])
    before = table.all().distance.log().mean().item()
    optimizer = torch.optim.Adam(table.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        cameras = table.all()
        (cameras.distance.sum() + cameras.offset.square().sum() + cameras.offset[:, 0].sum()).backward()
        optimizer.step()
    after = table.all()
    assert after.distance.log().mean().item() == pytest.approx(before, abs=1e-6)
    assert after.offset.mean(dim=0).abs().max() < 1e-6
    assert not torch.allclose(after.distance, torch.full((3,), 4.0))


def test_gradients_reach_every_number_of_the_views_in_use_only():
    table = CameraTable([0.0, 90.0, 180.0], elevation_degrees=10.0)
    points = torch.randn(2, 5, 3) * 0.3
    image, _ = project(table(torch.tensor([1, 1])), points)
    image.square().sum().backward()
    assert table.azimuth.grad is not None
    assert table.azimuth.grad[1] != 0
    assert table.azimuth.grad[[0, 2]].abs().max() == 0
    assert table.elevation.grad[1] != 0
    # Through the pinned mean, the other distances move the opposite way.
    assert table.log_distance.grad[1] != 0
    assert table.log_distance.grad.sum().abs() < 1e-3 * table.log_distance.grad.abs().max()


def test_elevation_stays_below_the_pole():
    table = CameraTable([0.0], elevation_degrees=200.0)
    assert table.all().elevation.item() == pytest.approx(math.radians(80.0))


def test_without_offsets_every_camera_looks_at_the_origin():
    table = CameraTable([0.0, 10.0], learn_offset=False)
    assert not table.offset.requires_grad
    assert table.all().offset.abs().max() == 0


@pytest.mark.parametrize(
    ("azimuths", "options"),
    [
        ([], {}),
        ([0.0], {"distance": 0.0}),
    ],
)
def test_bad_starts_are_refused(azimuths, options):
    with pytest.raises(GanverseError):
        CameraTable(azimuths, **options)
