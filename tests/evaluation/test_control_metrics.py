import math

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.evaluation.control_metrics import (
    Response,
    camera_control,
    frechet_distance,
    quality_ratio,
    swap_background_distances,
    swap_paint_distances,
    swap_shape_iou,
    swap_texture_distances,
)
from ganverse.geometry.cameras import Cameras


def test_camera_control_takes_the_short_way_round() -> None:
    asked = Cameras.from_degrees([350.0, 10.0, 0.0], [5.0, 5.0, 5.0], [4.0, 4.0, 4.0])
    measured = Cameras.from_degrees([2.0, 7.0, 180.0], [5.0, 9.0, 5.0], [1.0, 1.0, 1.0])
    control = camera_control(asked, torch.zeros(3, 3, 8, 8), lambda images: measured)
    assert control.azimuth_degrees.tolist() == pytest.approx([12.0, 3.0, 180.0], abs=1e-3)
    assert control.elevation_degrees.tolist() == pytest.approx([0.0, 4.0, 0.0], abs=1e-3)
    assert control.median_azimuth_degrees == pytest.approx(12.0, abs=1e-3)
    assert control.flipped == pytest.approx(1 / 3)


def test_swap_shape_iou() -> None:
    a, b = torch.zeros(2, 1, 1, 4, 4).unbind()
    a[..., :2], b[..., 1:3] = 0.9, 0.8
    assert swap_shape_iou(a, b).item() == pytest.approx(1 / 3)
    assert swap_shape_iou(a, a).item() == 1


def test_texture_distances_tell_a_swap_from_none() -> None:
    source, other = torch.rand(2, 4, 3, 8, 8).unbind()
    half_way = swap_texture_distances(torch.lerp(source, other, 0.2), source, other)
    assert half_way.ratio == pytest.approx(0.25)
    assert (half_way.to_source / half_way.to_other).tolist() == pytest.approx([0.25] * 4)
    assert swap_texture_distances(other * 0.9 + 0.05, source, other).ratio > 1


def test_a_pair_that_looks_alike_does_not_rule_the_ratio() -> None:
    source, other = torch.rand(2, 4, 3, 8, 8).unbind()
    other[0] = source[0] + 1e-4
    image = source + 0.01
    assert swap_texture_distances(image, source, other).ratio < 0.1
    assert math.isfinite(swap_texture_distances(source, source, source).ratio)


def test_paint_distances_tell_a_swap_from_none() -> None:
    source, other = torch.rand(2, 4, 3).unbind()
    assert swap_paint_distances(torch.lerp(source, other, 0.2), source, other).ratio == pytest.approx(0.25)
    assert swap_paint_distances(source, source, other).to_source.tolist() == [0] * 4


def test_background_distances_ignore_the_objects() -> None:
    source, other = torch.rand(2, 2, 3, 8, 8).unbind()
    outside = torch.ones(2, 1, 8, 8)
    outside[..., 2:6, 2:6] = 0
    image = torch.where(outside < 0.5, other, source)
    assert swap_background_distances(image, source, other, outside).ratio == 0
    assert swap_background_distances(image, source, other, torch.ones_like(outside)).ratio > 0
    shifted = swap_background_distances(source + 0.1, source, other, outside)
    assert shifted.to_source.tolist() == pytest.approx([0.1, 0.1], abs=1e-6)  # a mean over what is outside
    assert swap_background_distances(image, source, other, outside * 0).to_source.tolist() == [0, 0]


def test_ranks_see_order_only_and_slopes_how_far() -> None:
    asked = torch.tensor([[0.0, 1.0, 2.0]]).expand(3, -1)
    measured = torch.tensor([[5.0, 5.1, 9.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    found = Response.of(asked, measured)
    assert found.rank.tolist() == pytest.approx([1.0, -1.0, 0.5], abs=1e-5)
    assert found.slope.tolist() == pytest.approx([2.0, -1.0, 0.5], abs=1e-5)
    assert Response.of(asked, 0.1 * asked + 5).slope.tolist() == pytest.approx([0.1] * 3, abs=1e-5)


def test_what_never_moves_has_neither_rank_nor_slope() -> None:
    found = Response.of(torch.arange(4.0)[None], torch.ones(1, 4))
    assert (found.rank.item(), found.slope.item()) == pytest.approx((0, 0), abs=1e-5)


class _Features(nn.Module):
    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_quality_ratio_is_one_when_kept_and_grows_with_damage() -> None:
    source = torch.Generator().manual_seed(0)
    real, before, after = ([torch.rand(100, 3, 8, 8, generator=source) + s for _ in range(2)] for s in (0.0, 0.05, 0.1))
    assert quality_ratio(real, before, before, _Features()) == pytest.approx(1)
    assert quality_ratio(real, before, after, _Features()) == pytest.approx(4, rel=0.1)
    assert frechet_distance(real, real, _Features()) == pytest.approx(0, abs=1e-5)


def test_too_few_images_are_refused() -> None:
    images = [torch.rand(1, 3, 8, 8)]
    with pytest.raises(GanverseError, match="two images"):
        frechet_distance(images, images, _Features())
