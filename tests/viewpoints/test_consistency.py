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
        color=torch.stack([by_object.sigmoid(), (2 * by_object).sigmoid(), (-by_object).sigmoid()], dim=1),
    )


OBJECTS = torch.tensor([-1.0, 0.0, 1.0]).repeat_interleave(3)
VIEWS = torch.tensor([0.0, 2.0, 4.0]).repeat(3)


def test_a_table_whose_views_turn_and_whose_objects_differ_is_best() -> None:
    best = 4 * math.log(0.05 / 0.55)
    good, bad = view_consistency(reading(OBJECTS, VIEWS), 3), view_consistency(reading(VIEWS - 2, OBJECTS + 2), 3)
    same = view_consistency(reading(torch.zeros(9), torch.zeros(9)), 3)
    assert best - 1e-4 <= good < best + 0.5
    assert bad > 8
    assert same.item() == pytest.approx(0.0, abs=1e-6)  # sameness is no way out


def test_exaggeration_gains_nothing() -> None:
    read = view_consistency(reading(OBJECTS, VIEWS), 3)
    extreme = view_consistency(reading(100 * OBJECTS, VIEWS), 3)
    assert extreme > read - 0.2


def test_the_logarithm_of_a_ratio_of_variances() -> None:
    torch.manual_seed(0)
    height = 0.1 * torch.rand(4, 5)
    read = PoseReading(torch.zeros(20), torch.zeros(20), height.flatten(), torch.zeros(20, 6), torch.full((20, 3), 0.5))
    within, between = sum(row.var().item() for row in height) / 4 / 0.0016, height.mean(1).var().item() / 0.0016
    expected = math.log((within + 0.05) / (min(between, 0.5) + 0.05))
    assert view_consistency(read, 4).item() == pytest.approx(expected, rel=1e-4)


def test_settings_have_ranges() -> None:
    with pytest.raises(GanverseError, match="expected interval to be at least 1"):
        ConsistencySettings(interval=0)
