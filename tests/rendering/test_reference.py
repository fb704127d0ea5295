"""The oracle itself: conventions by hand-made triangles, gradients by finite differences in float64."""

import math

import pytest
import torch
from torch import Tensor

from ganverse.geometry.cameras import pixel_centers
from ganverse.rendering import reference
from ganverse.rendering.scene import SoftMaskSettings, Triangles
from tests.rendering.random_scenes import cast, rectangle, soup


def draw(
    corners: Tensor, z: float | list[float] = -2.0, height: int = 4, width: int = 4, front: Tensor | None = None
) -> Tensor:
    """Face index of one image of triangles (faces, 3, 2), each at one z."""
    depth = torch.as_tensor(z).reshape(-1, 1).expand(len(corners), 3)
    features = torch.zeros(1, len(corners), 3, 1)
    scene = Triangles(corners[None], depth[None], features, None if front is None else front[None])
    return reference.rasterize(scene, height, width).face_index[0]


def test_row_zero_is_on_top_and_column_zero_on_the_left() -> None:
    index = draw(rectangle(-1, 0.5, 0, 1), height=8, width=4)
    expected = torch.full((8, 4), -1)
    expected[:2, :2] = torch.tensor([[1, 0], [0, 0]])  # centers on the diagonal go to the lower face
    assert (index >= 0).equal(expected >= 0)


def test_boxes_are_half_open() -> None:
    # Every edge runs through pixel centers at -0.75, -0.25, 0.25 and 0.75.
    index = draw(rectangle(-0.75, -0.25, 0.25, 0.75))
    covered = torch.zeros(4, 4, dtype=torch.bool)
    covered[1:3, 0:2] = True
    assert (index >= 0).equal(covered)


def test_no_hole_along_a_shared_edge_through_pixel_centers() -> None:
    assert (draw(rectangle(-1, -1, 1, 1), height=16, width=16) >= 0).all()


def test_equal_depth_goes_to_the_lower_face() -> None:
    corners = rectangle(-1, -1, 1, 1)[:1].expand(3, -1, -1)
    assert set(draw(corners).unique().tolist()) == {-1, 0}
    assert set(draw(corners, [-2.0, -1.5, -1.5]).unique().tolist()) == {-1, 1}, "a larger z is closer"


def test_faces_not_facing_front_are_left_out_and_both_windings_are_drawn() -> None:
    corners = rectangle(-1, -1, 1, 1)
    clockwise = corners.flip(1)
    assert draw(corners).equal(draw(clockwise))
    assert set(draw(corners, front=torch.tensor([False, True])).unique().tolist()) == {-1, 1}


def test_faces_without_area_are_not_drawn() -> None:
    line = torch.tensor([[[-0.75, -0.75], [0.75, 0.75], [0.25, 0.25]]])
    point = torch.full((1, 3, 2), 0.25)
    assert (draw(torch.cat([line, point])) == -1).all()


def test_depth_decides_inside_faces_that_cross() -> None:
    corners = rectangle(-1, -1, 1, 1)[[0, 0]].double()
    z = torch.tensor([[[-1.0, -3.0, -3.0], [-2.0, -2.0, -2.0]]]).double()
    drawn = reference.rasterize(Triangles(corners[None], z, torch.ones(1, 2, 3, 1).double()), 8, 8)
    index, depth = drawn.face_index, drawn.depth
    seen = index[0] >= 0
    assert set(index[0].unique().tolist()) == {-1, 0, 1}
    assert (depth[0][seen] >= -2).all(), "the nearer of the two everywhere"
    assert (depth[0][~seen] == 0).all()
    assert drawn.features[0, ..., 0].equal(seen.double())


def test_features_are_affine_in_the_image() -> None:
    scene = cast(soup(0, faces=30), torch.float64)
    drawn = reference.rasterize(Triangles(scene.corners, scene.z, scene.corners), 19, 23)
    features, covered = drawn.features, drawn.face_index >= 0
    expected = pixel_centers(19, 23).double().expand(2, -1, -1, -1)
    torch.testing.assert_close(features[covered], expected[covered], atol=1e-6, rtol=0)
    assert (features[~covered] == 0).all()


def test_gradients_of_features_and_positions_are_those_of_finite_differences() -> None:
    scene = cast(soup(3, faces=8, extent=1.5, channels=2), torch.float64)

    def features(corners: Tensor, values: Tensor) -> Tensor:
        return reference.rasterize(scene._replace(corners=corners, features=values), 6, 5).features

    covered = reference.rasterize(scene, 6, 5).face_index >= 0
    assert covered.float().mean() > 0.2
    inputs = (scene.corners.requires_grad_(), scene.features.requires_grad_())
    assert torch.autograd.gradcheck(features, inputs, eps=1e-7, atol=1e-5)


def test_a_flat_face_gets_no_position_gradient() -> None:
    corners = torch.tensor([[[-0.75, -0.75], [0.75, 0.75], [0.25, 0.25 + 1e-9]]], dtype=torch.float64)[None]
    corners.requires_grad_()
    values = torch.rand(1, 1, 3, 1, dtype=torch.float64, requires_grad=True)
    drawn = reference.rasterize(Triangles(corners, -torch.ones(1, 1, 3).double(), values), 4, 4)
    assert (drawn.face_index >= 0).any()
    drawn.features.sum().backward()
    assert corners.grad is not None
    assert corners.grad.abs().sum() == 0
    assert values.grad is not None
    assert values.grad.abs().sum() > 0


def edge_at_zero(dtype: torch.dtype = torch.float64) -> Tensor:
    """One big face on the left half of the image, its right edge x = 0."""
    return torch.tensor([[[[0.0, -9.0], [0.0, 9.0], [-9.0, 0.0]]]], dtype=dtype)


def test_soft_silhouette_falls_off_with_the_squared_distance_up_to_the_box() -> None:
    corners = edge_at_zero()
    index = torch.full((1, 1, 200), -1)
    index[..., :100] = 0
    mask = reference.soft_silhouette(corners, index, SoftMaskSettings(7000.0, 0.02, 30))[0, 0]
    assert (mask[:100] == 1).all()
    assert mask[100].item() == pytest.approx(math.exp(-7000 * 0.005**2))
    assert mask[101].item() == pytest.approx(math.exp(-7000 * 0.015**2))
    assert (mask[102:] == 0).all(), "0.025 lies beyond the box"


def test_soft_silhouette_multiplies_what_faces_miss() -> None:
    corners = edge_at_zero().expand(1, 5, 3, 2)
    index = torch.full((1, 1, 200), -1)
    once = math.exp(-7000 * 0.005**2)
    for knum in (1, 2, 5, 30):
        mask = reference.soft_silhouette(corners, index, SoftMaskSettings(7000.0, 0.02, knum))[0, 0]
        assert mask[100].item() == pytest.approx(1 - (1 - once) ** min(knum, 5), rel=1e-6)


def test_soft_silhouette_counts_the_first_faces_by_index() -> None:
    near, far = edge_at_zero(), edge_at_zero() - torch.tensor([0.01, 0.0])
    index = torch.full((1, 1, 200), -1)
    for first, second, distance in ((near, far, 0.005), (far, near, 0.015)):
        mask = reference.soft_silhouette(torch.cat([first, second], 1), index, SoftMaskSettings(7000.0, 0.02, 1))[0, 0]
        assert mask[100].item() == pytest.approx(math.exp(-7000 * distance**2), rel=1e-6)


def test_soft_silhouette_measures_to_the_outline_from_inside_too() -> None:
    corners = edge_at_zero()
    index = torch.full((1, 1, 200), -1)  # a back face, say: not drawn, yet near
    mask = reference.soft_silhouette(corners, index, SoftMaskSettings(7000.0, 0.02, 30))[0, 0]
    torch.testing.assert_close(mask[98:100], mask[100:102].flip(0))
    assert (mask[:90] < 1e-6).all()


@pytest.mark.parametrize("knum", [30, 2])
def test_gradient_of_the_soft_silhouette_is_that_of_finite_differences(knum: int) -> None:
    scene = cast(soup(5, faces=7, extent=0.3), torch.float64)
    index = reference.rasterize(scene, 8, 7).face_index

    def mask(corners: Tensor) -> Tensor:
        return reference.soft_silhouette(corners, index, SoftMaskSettings(60.0, 0.25, knum))

    assert ((mask(scene.corners) > 0.01) & (index < 0)).sum() > 20
    assert torch.autograd.gradcheck(mask, (scene.corners.requires_grad_(),), eps=1e-7, atol=1e-5)


def test_gradient_is_finite_where_a_pixel_lies_on_an_edge() -> None:
    corners = (edge_at_zero(torch.float32) + torch.tensor([0.005, 0.0])).requires_grad_()
    mask = reference.soft_silhouette(corners, torch.full((1, 1, 200), -1), SoftMaskSettings(7000.0, 0.02, 30))
    assert mask[0, 0, 100].item() == pytest.approx(1)
    mask.sum().backward()
    assert corners.grad is not None
    assert corners.grad.isfinite().all()


def test_memory_grows_with_fragments_not_with_faces_times_pixels() -> None:
    scene = soup(1, batch=1, faces=20_000, extent=0.005)
    fragments = reference.box_fragments(scene.corners, 256, 256)
    assert fragments.face.numel() < 60_000, "out of 1.3e9 pairs of a face and a pixel"
