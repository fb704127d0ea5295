"""The frame conventions of docs/conventions.md, pinned with numbers."""

import math

import pytest
import torch

from ganverse.geometry.cameras import (
    Cameras,
    angular_difference,
    concatenate,
    pixel_centers,
    pixel_rays,
    project,
    world_to_camera,
)


def test_azimuth_grows_from_front_towards_plus_x() -> None:
    cameras = Cameras.from_degrees([0.0, 90.0, 180.0], [0.0, 0.0, 0.0], [4.0, 4.0, 4.0])
    expected = torch.tensor([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0], [0.0, 0.0, -4.0]])
    torch.testing.assert_close(cameras.position, expected, atol=1e-5, rtol=0)


def test_positive_elevation_looks_down_from_above() -> None:
    cameras = Cameras.from_degrees([30.0], [20.0], [2.0])
    assert cameras.position[0, 1].item() == pytest.approx(2 * math.sin(math.radians(20)), abs=1e-6)
    _, z = project(cameras, torch.tensor([[[0.0, 0.5, 0.0], [0.0, -0.5, 0.0]]]))
    assert z[0, 0] > z[0, 1], "the upper point is nearer, and nearer means larger z"


def test_rotation_is_orthonormal_and_right_handed() -> None:
    rotation = Cameras.from_degrees([10.0, 200.0], [25.0, -40.0], [3.0, 3.0]).rotation
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(2, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(2))


def test_origin_lies_in_front_at_minus_distance() -> None:
    cameras = Cameras.from_degrees([123.0], [-12.0], [3.5])
    torch.testing.assert_close(
        world_to_camera(cameras, torch.zeros(1, 1, 3)), torch.tensor([[[0.0, 0.0, -3.5]]]), atol=1e-6, rtol=0
    )


def test_front_camera_sees_plus_x_on_the_right_and_up_on_top() -> None:
    cameras = Cameras.from_degrees([0.0], [0.0], [4.0])
    image, _ = project(cameras, torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]]))
    scale = 0.5 / 4 / math.tan(math.radians(15))
    torch.testing.assert_close(image[0], torch.tensor([[scale, 0.0], [0.0, scale]]), atol=1e-6, rtol=0)


def test_offset_and_aspect() -> None:
    cameras = Cameras(torch.zeros(1), torch.zeros(1), torch.full((1,), 4.0), torch.tensor([[0.1, -0.2]]))
    image, _ = project(cameras, torch.tensor([[[0.5, 0.0, 0.0]]]), aspect=2.0)
    scale = 0.5 / 4 / math.tan(math.radians(15))
    torch.testing.assert_close(image[0, 0], torch.tensor([scale / 2 + 0.1, -0.2]))


def test_rays_are_the_inverse_of_project() -> None:
    cameras = Cameras(*(torch.tensor([v]) for v in (0.7, 0.3, 3.0)), torch.tensor([[0.05, -0.1]]))
    points = cameras.position[:, None, None] + 2.5 * pixel_rays(cameras, 4, 6)
    image, _ = project(cameras, points.reshape(1, -1, 3), aspect=6 / 4)
    torch.testing.assert_close(image.view(4, 6, 2), pixel_centers(4, 6), atol=1e-5, rtol=0)


def test_pixel_centers_start_at_the_upper_left() -> None:
    centers = pixel_centers(2, 4)
    assert centers[0, 0].tolist() == [-0.75, 0.5]
    assert centers[1, 3].tolist() == [0.75, -0.5]


def test_points_behind_the_camera_stay_finite() -> None:
    image, z = project(Cameras.from_degrees([0.0], [0.0], [1.0]), torch.tensor([[[0.2, 0.1, 1.0], [0.0, 0.0, 9.0]]]))
    assert image.isfinite().all()
    assert z[0, 1] > 0


def test_gradients_reach_every_camera_number() -> None:
    numbers = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (0.4, 0.2, 3.0)]
    offset = torch.tensor([[0.1, 0.2]], dtype=torch.float64, requires_grad=True)
    points = torch.randn(1, 5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, e, d, o: project(Cameras(a, e, d, o), points)[0], (*numbers, offset))


def test_angular_difference_wraps() -> None:
    difference = angular_difference(torch.tensor([math.radians(350)]), torch.tensor([math.radians(10)]))
    assert math.degrees(difference.item()) == pytest.approx(-20, abs=1e-3)


def test_batches_can_be_sliced_repeated_and_joined() -> None:
    cameras = Cameras.from_degrees([0.0, 90.0], [0.0, 5.0], [3.0, 4.0])
    repeated = cameras.repeat_interleave(2)
    assert len(repeated) == 4
    joined = concatenate([repeated[:2], repeated[2:]])
    torch.testing.assert_close(joined.position, repeated.position)
