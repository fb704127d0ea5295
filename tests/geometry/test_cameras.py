"""The frame conventions of docs/conventions.md, pinned with numbers."""

import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import (
    Cameras,
    PinholeCameras,
    angular_difference,
    concatenate,
    pixel_axes,
    pixel_centers,
    pixel_rays,
    project,
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
    image, z = project(Cameras.from_degrees([123.0], [-12.0], [3.5]), torch.zeros(1, 1, 3))
    torch.testing.assert_close(image, torch.zeros(1, 1, 2))
    torch.testing.assert_close(z, torch.tensor([[-3.5]]))


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


def test_placed_cameras_see_the_picture_mirrored_scaled_and_shifted() -> None:
    cameras = Cameras(torch.tensor([0.7]), torch.tensor([0.2]), torch.tensor([40.0]), torch.tensor([[0.1, -0.2]]))
    points = torch.rand(1, 20, 3) - 0.5
    before, _ = project(cameras, points * torch.tensor([-1.0, 1.0, 1.0]))
    after, _ = project(cameras.placed(torch.tensor([[-1.0, 1.5, 0.3, -0.1]])), points)
    expected = 1.5 * before * torch.tensor([-1.0, 1.0]) + torch.tensor([0.3, -0.1])
    torch.testing.assert_close(after, expected, atol=2e-3, rtol=0)  # from so far away perspective hardly matters


def test_rays_are_the_inverse_of_project() -> None:
    cameras = Cameras(*(torch.tensor([v]) for v in (0.7, 0.3, 3.0)), torch.tensor([[0.05, -0.1]]))
    points = cameras.position[:, None, None] + 2.5 * pixel_rays(cameras, 4, 6)
    image, _ = project(cameras, points.reshape(1, -1, 3), aspect=6 / 4)
    torch.testing.assert_close(image.view(4, 6, 2), pixel_centers(4, 6), atol=1e-5, rtol=0)


def test_pixel_centers_start_at_the_upper_left() -> None:
    centers = pixel_centers(2, 4)
    assert centers[0, 0].tolist() == [-0.75, 0.5]
    assert centers[1, 3].tolist() == [0.75, -0.5]
    x, y = pixel_axes(2, 4, dtype=torch.float64)
    assert centers.double().equal(torch.stack([x.expand(2, 4), y[:, None].expand(2, 4)], dim=-1))


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


def orbit() -> tuple[Cameras, torch.Tensor]:
    """Three cameras with pictures shifted, and points around the origin."""
    offset = torch.tensor([[0.1, -0.2], [0.0, 0.0], [-0.3, 0.05]])
    angles = torch.tensor([[0.3, 2.0, 5.0], [0.1, -0.4, 0.9], [3.0, 4.0, 5.0]])
    return Cameras(*angles, offset), torch.rand(3, 20, 3, generator=torch.Generator().manual_seed(0)) - 0.5


def opengl(cameras: PinholeCameras) -> tuple[torch.Tensor, torch.Tensor]:
    """View and projection matrices as OpenGL has them, with near and far planes at 0.1 and 100."""
    view = torch.eye(4).repeat(len(cameras), 1, 1)
    view[:, :3, :3], view[:, :3, 3] = cameras.rotation, cameras.translation
    projection = torch.zeros(len(cameras), 4, 4)
    projection[:, 0, 0], projection[:, 1, 1] = cameras.focal.unbind(dim=1)
    projection[:, :2, 2] = -cameras.principal
    projection[:, 2] = torch.tensor([0.0, 0.0, -100.1 / 99.9, -20 / 99.9])
    projection[:, 3, 2] = -1
    return view, projection


@pytest.mark.parametrize("aspect", [1.0, 1.5])
def test_opengl_matrices_project_as_opengl_does(aspect: float) -> None:
    cameras, points = orbit()
    view, projection = opengl(cameras.pinhole(aspect))
    image, z = project(PinholeCameras.from_opengl(view, projection), points)
    homogeneous = torch.nn.functional.pad(points, (0, 1), value=1.0)
    clip = homogeneous @ (projection @ view).transpose(1, 2)
    torch.testing.assert_close(image, clip[..., :2] / clip[..., 3:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(z, (homogeneous @ view.transpose(1, 2))[..., 2])
    expected = project(cameras, points, aspect=aspect)
    assert image.equal(expected[0]), "the same arithmetic"
    assert z.equal(expected[1])


def test_opencv_cameras_put_points_where_opencv_does() -> None:
    points = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    rotation = Cameras.from_degrees([40.0], [20.0], [1.0]).rotation * torch.tensor([[1.0], [-1.0], [-1.0]])
    translation = torch.tensor([[0.1, -0.2, 3.0]])
    k = torch.tensor([[[120.0, 0.0, 70.0], [0.0, 110.0, 30.0], [0.0, 0.0, 1.0]]])
    in_camera = points @ rotation.transpose(1, 2) + translation[:, None]  # x right, y down, looks along +z
    u, v, w = (in_camera @ k.transpose(1, 2)).unbind(dim=-1)
    image, z = project(PinholeCameras.from_opencv(k, rotation, translation, (64, 128)), points)
    torch.testing.assert_close(z, -in_camera[..., 2])
    pixels = torch.stack([(image[..., 0] + 1) * 64, (1 - image[..., 1]) * 32], dim=-1)
    torch.testing.assert_close(pixels, torch.stack([u / w, v / w], dim=-1), rtol=1e-5, atol=1e-4)


def test_each_camera_may_have_its_own_field_of_view() -> None:
    cameras = Cameras.from_degrees([0.0, 0.0], [0.0, 0.0], [4.0, 4.0]).pinhole()
    cameras = cameras.with_fovy(torch.tensor([30.0, 90.0]), aspect=2.0)
    image, _ = project(cameras, torch.tensor([[[0.5, 0.5, 0.0]]]).expand(2, 1, 3))
    height = 0.5 / 4 / math.tan(math.radians(15))
    torch.testing.assert_close(image[:, 0], torch.tensor([[height / 2, height], [0.0625, 0.125]]))


@pytest.mark.parametrize("wrong", ["row vectors", "opencv", "orthographic", "skewed"])
def test_matrices_of_another_form_are_refused(wrong: str) -> None:
    view, projection = opengl(orbit()[0].pinhole())
    if wrong == "row vectors":
        view = view.transpose(1, 2)
    elif wrong == "skewed":
        projection[1, 0, 1] = 0.1
    else:
        projection[1, 3] = torch.tensor([0.0, 0.0, 1.0, 0.0] if wrong == "opencv" else [0.0, 0.0, 0.0, 1.0])
    with pytest.raises(GanverseError, match=r"OpenGL perspective .* camera \d has others.*from_opencv"):
        PinholeCameras.from_opengl(view, projection)


def test_skewed_intrinsics_are_refused() -> None:
    k = torch.tensor([[[120.0, 4.0, 70.0], [0.0, 110.0, 30.0], [0.0, 0.0, 1.0]]])
    with pytest.raises(GanverseError, match="without skew"):
        PinholeCameras.from_opencv(k, torch.eye(3)[None], torch.zeros(1, 3), (64, 128))
