"""The public primitives: which backend does the work, what they accept, what they refuse."""

import pytest
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import pixel_centers
from ganverse.rendering.backends import Backend
from ganverse.rendering.rasterization import dibr, rasterize, soft_silhouette
from tests.rendering.random_scenes import cast, rectangle, soup

BACKENDS: tuple[Backend, ...] = ("reference", "warp")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_positions_that_are_not_finite_name_the_batch_index(backend: Backend, value: float) -> None:
    scene = soup(0, batch=3)
    corners, z = scene.corners.clone(), scene.z.clone()
    corners[1, 7, 2, 0] = value
    z[2, 0, 0] = value
    with pytest.raises(GanverseError, match="face_vertices_image must be finite, but batch index 1 holds"):
        rasterize(corners, scene.z, scene.features, 8, 8, backend=backend)
    with pytest.raises(GanverseError, match="face_vertices_z must be finite, but batch index 2 holds"):
        rasterize(scene.corners, z, scene.features, 8, 8, backend=backend)
    with pytest.raises(GanverseError, match="batch index 1 holds"):
        soft_silhouette(corners, torch.full((3, 8, 8), -1), backend=backend)
    with pytest.raises(GanverseError, match="batch index 1 holds"):
        soft_silhouette(corners, torch.full((3, 8, 8), -1), nearest=True, backend=backend)
    with pytest.raises(GanverseError, match="face_vertices_z must be finite, but batch index 2 holds"):
        rasterize(scene.corners, z, scene.features, 8, 8, perspective=True, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_finite_positions_are_accepted(backend: Backend) -> None:
    scene = soup(0)
    large = scene._replace(corners=scene.corners.sign() * 3e38, z=scene.z.sign() * 3e38)
    rasterize(large.corners, large.z, large.features, 4, 4, backend=backend)


def test_an_image_without_pixels_is_refused() -> None:
    scene = soup(0)
    with pytest.raises(GanverseError, match="got 0 x 8"):
        rasterize(scene.corners, scene.z, scene.features, 0, 8)


@pytest.mark.parametrize("setting", [{"sigmainv": 0.0}, {"boxlen": -0.1}, {"knum": 0}])
def test_silhouette_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(GanverseError, match="start from the defaults"):
        soft_silhouette(soup(0).corners, torch.full((2, 8, 8), -1), **setting)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mesh_without_faces_gives_an_empty_image(backend: Backend) -> None:
    corners = torch.zeros(2, 0, 3, 2, requires_grad=True)
    drawn = rasterize(corners, torch.zeros(2, 0, 3), torch.zeros(2, 0, 3, 4), 5, 6, backend=backend)
    mask = soft_silhouette(corners, drawn.face_index, backend=backend)
    assert drawn.features.shape == (2, 5, 6, 4)
    assert (drawn.face_index == -1).all()
    assert drawn.features.abs().sum() + drawn.depth.abs().sum() + mask.abs().sum() == 0
    (drawn.features.sum() + mask.sum()).backward()
    assert corners.grad is not None
    assert corners.grad.shape == corners.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_images_and_no_features_are_allowed(backend: Backend) -> None:
    scene = soup(0, channels=0)
    drawn = rasterize(scene.corners, scene.z, scene.features, 8, 8, backend=backend)
    assert drawn.features.shape == (2, 8, 8, 0)
    assert (drawn.face_index >= 0).any()
    none = rasterize(scene.corners[:0], scene.z[:0], scene.features[:0], 8, 8, backend=backend)
    assert none.face_index.shape == (0, 8, 8)
    assert soft_silhouette(scene.corners[:0], none.face_index, backend=backend).shape == (0, 8, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_computed_in_float32_and_its_gradients_come_back_in_half(backend: Backend) -> None:
    scene = cast(soup(0), torch.bfloat16)
    corners = scene.corners.requires_grad_()
    drawn = rasterize(corners, scene.z, scene.features, 16, 16, backend=backend)
    mask = soft_silhouette(corners, drawn.face_index, backend=backend)
    exact = cast(scene, torch.float32)
    expected = rasterize(exact.corners, exact.z, exact.features, 16, 16, backend=backend)
    assert drawn.features.dtype == mask.dtype == torch.float32
    assert drawn.face_index.equal(expected.face_index)
    assert drawn.features.equal(expected.features)
    (drawn.features.sum() + mask.sum()).backward()
    assert corners.grad is not None
    assert corners.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("backend", BACKENDS)
def test_double_precision_is_kept(backend: Backend) -> None:
    scene = cast(soup(0), torch.float64)
    drawn = rasterize(scene.corners, scene.z, scene.features.float(), 16, 16, backend=backend)
    assert drawn.features.dtype == drawn.depth.dtype == torch.float64
    assert soft_silhouette(scene.corners, drawn.face_index, backend=backend).dtype == torch.float64


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_layout_does_not_matter(backend: Backend) -> None:
    scene = soup(0)
    drawn = rasterize(scene.corners, scene.z, scene.features, 12, 20, front_facing=scene.drawn, backend=backend)
    mask = soft_silhouette(scene.corners, drawn.face_index, backend=backend)
    assert scene.drawn is not None
    strided = [
        t.transpose(0, 1).contiguous().transpose(0, 1) for t in (scene.corners, scene.z, scene.features, scene.drawn)
    ]
    again = rasterize(*strided[:3], 12, 20, front_facing=strided[3], backend=backend)
    assert not strided[0].is_contiguous()
    assert again.face_index.equal(drawn.face_index)
    assert again.features.equal(drawn.features)
    columns_first = drawn.face_index.transpose(1, 2).contiguous().transpose(1, 2)
    assert soft_silhouette(strided[0], columns_first, backend=backend).equal(mask)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_image_equals_its_place_in_a_batch(backend: Backend) -> None:
    scene = soup(4, batch=3)
    whole = rasterize(scene.corners, scene.z, scene.features, 15, 11, backend=backend)
    for i in range(3):
        part = slice(i, i + 1)
        one = rasterize(scene.corners[part], scene.z[part], scene.features[part], 15, 11, backend=backend)
        assert one.face_index.equal(whole.face_index[part])
        assert one.features.equal(whole.features[part])


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_features_and_positions_receive_gradients(backend: Backend) -> None:
    scene = soup(0)
    leaves = [t.clone().requires_grad_() for t in (scene.corners, scene.z, scene.features)]
    drawn = rasterize(*leaves, 16, 16, backend=backend)
    assert not drawn.depth.requires_grad
    drawn.features.square().sum().backward()
    assert leaves[1].grad is None
    assert leaves[0].grad is not None
    assert leaves[0].grad.abs().sum() > 0
    assert leaves[2].grad is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_behind_the_camera_are_drawn_unless_left_out(backend: Backend) -> None:
    corners = rectangle(-1, -1, 1, 1)[None]
    z = torch.tensor([[[-2.0] * 3, [3.0] * 3]])
    features = torch.ones(1, 2, 3, 1)
    drawn = rasterize(corners, z, features, 4, 4, backend=backend)
    assert set(drawn.face_index.unique().tolist()) == {0, 1}, "as in Kaolin, nothing is clipped"
    kept = rasterize(corners, z, features, 4, 4, front_facing=(z < 0).all(-1), backend=backend)
    assert set(kept.face_index.unique().tolist()) == {-1, 0}


def slanted(seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Triangles in front of a camera, far from parallel to the image: NDC, z, and positions in the camera's frame."""
    points = 2 * torch.rand(2, 12, 3, 3, generator=torch.Generator().manual_seed(seed)) - 1
    points[..., 2] = 1.4 * points[..., 2] - 2
    return points[..., :2] / -points[..., 2:], points[..., 2], points


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_perspective_a_pixel_shows_the_point_its_ray_hits(backend: Backend) -> None:
    corners, z, points = slanted()
    drawn = rasterize(corners, z, points, 20, 30, perspective=True, backend=backend)
    covered = drawn.face_index >= 0
    seen = drawn.features[covered]
    centers = pixel_centers(20, 30).expand(2, -1, -1, -1)[covered]
    torch.testing.assert_close(seen[:, :2] / -seen[:, 2:], centers, rtol=0, atol=2e-5)
    torch.testing.assert_close(seen[:, 2], drawn.depth[covered], rtol=1e-4, atol=1e-5)
    assert drawn.depth[~covered].abs().sum() + drawn.features[~covered].abs().sum() == 0
    affine = rasterize(corners, z, points, 20, 30, backend=backend)
    assert (affine.features - drawn.features)[covered].abs().max() > 0.05, "the scene tells the two apart"


def test_in_perspective_the_nearest_of_crossing_faces_is_exact() -> None:
    corners, z, points = slanted()
    drawn = rasterize(corners, z, points, 20, 30, perspective=True)
    nearest = torch.full_like(drawn.depth, -torch.inf)
    for i in range(12):
        alone = rasterize(corners[:, i : i + 1], z[:, i : i + 1], points[:, i : i + 1], 20, 30, perspective=True)
        nearest = torch.where(alone.face_index >= 0, alone.depth.maximum(nearest), nearest)
    torch.testing.assert_close(drawn.depth, nearest.where(nearest.isfinite(), torch.zeros(())), rtol=1e-4, atol=1e-5)


def test_in_perspective_gradients_are_those_of_finite_differences() -> None:
    corners, z, points = (t[:1, :4].double() for t in slanted())
    inputs = tuple(t.clone().requires_grad_() for t in (corners, z, points))
    assert torch.autograd.gradcheck(
        lambda *leaves: rasterize(*leaves, 6, 5, perspective=True).features, inputs, eps=1e-7, atol=1e-5
    )


def test_in_perspective_faces_that_reach_behind_the_camera_are_left_out() -> None:
    z = torch.tensor([[[-2.0] * 3, [-1.0, 0.0, 1.0]]])
    drawn = rasterize(rectangle(-1, -1, 1, 1)[None], z, torch.ones(1, 2, 3, 1), 4, 4, perspective=True)
    assert set(drawn.face_index.unique().tolist()) == {-1, 0}
    assert drawn.features.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"perspective": True}, {"nearest": True}], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_both_at_once_are_the_two_primitives(backend: Backend, options: dict[str, bool]) -> None:
    scene = soup(5, faces=30)
    shape = {"perspective": options.get("perspective", False), "backend": backend}
    rim = {"sigmainv": 500.0, "boxlen": 0.1, "knum": 4, "nearest": options.get("nearest", False), "backend": backend}
    outcomes = []
    for together in (True, False):
        corners, features = scene.corners.clone().requires_grad_(), scene.features.clone().requires_grad_()
        inputs = (corners, scene.z, features, 20, 13)
        if together:
            drawn, mask = dibr(*inputs, front_facing=scene.drawn, **shape | rim)
        else:
            drawn = rasterize(*inputs, front_facing=scene.drawn, **shape)
            mask = soft_silhouette(corners, drawn.face_index, **rim)
        loss = drawn.features.square().sum() + mask.square().sum()
        gradients = torch.autograd.grad(loss, (corners, features))
        outcomes.append((drawn.features, drawn.face_index, drawn.depth, mask, *gradients))
    for both, one_by_one in zip(*outcomes, strict=True):
        torch.testing.assert_close(both, one_by_one, rtol=1e-5, atol=1e-5)


def test_both_at_once_check_what_the_two_primitives_check() -> None:
    scene = soup(0)
    with pytest.raises(GanverseError, match="got 0 x 8"):
        dibr(scene.corners, scene.z, scene.features, 0, 8)
    with pytest.raises(GanverseError, match="start from the defaults"):
        dibr(scene.corners, scene.z, scene.features, 8, 8, knum=0)
    with pytest.raises(GanverseError, match="face_vertices_image must be finite, but batch index 1 holds"):
        dibr(scene.corners.clone().index_fill_(0, torch.tensor(1), torch.nan), scene.z, scene.features, 8, 8)
