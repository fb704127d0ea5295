import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.viewpoints.consistency import ConsistencySettings, view_consistency
from ganverse.viewpoints.pose_regressor import PoseReading


def reading(by_object: torch.Tensor, by_view: torch.Tensor) -> PoseReading:
    """Of a table whose shape, type and color follow one set of numbers and whose azimuth follows another."""
    return PoseReading(
        azimuth=by_view,
        elevation=torch.zeros_like(by_view),
        height=0.344 + 0.035 * by_object,
        body_type=6 * torch.stack([by_object, -by_object], dim=1),
        color=by_object[:, None].sigmoid().expand(-1, 3),
    )


def test_a_table_whose_views_turn_and_whose_objects_differ_is_best() -> None:
    objects = torch.tensor([-1.0, 0.0, 1.0]).repeat_interleave(3)
    views = torch.tensor([0.0, 2.0, 4.0]).repeat(3)
    good, bad = view_consistency(reading(objects, views), 3), view_consistency(reading(views - 2, objects + 2), 3)
    same = view_consistency(reading(torch.zeros(9), torch.zeros(9)), 3)
    assert good < -9
    assert bad > 9
    # sameness is no way out: objects that are all alike are as bad as the floors allow, not better than different ones
    assert same.item() == pytest.approx(0.0, abs=1e-6)


def test_the_logarithms_of_ratios_of_variances() -> None:
    torch.manual_seed(0)
    height = torch.rand(4, 5)
    read = PoseReading(torch.zeros(20), torch.zeros(20), height.flatten(), torch.zeros(20, 6), torch.full((20, 3), 0.5))
    within = sum(row.var().item() for row in height) / 4
    expected = math.log((within + 1.2e-4) / (height.mean(1).var().item() + 1.2e-4))
    assert view_consistency(read, 4).item() == pytest.approx(expected, rel=1e-4)


def test_settings_have_ranges() -> None:
    with pytest.raises(GanverseError, match="expected interval to be at least 1"):
        ConsistencySettings(interval=0)
