"""Means, differences and intervals of a study."""

import math

import numpy as np
import pytest

from ganverse.pipeline.ablation_table import interval, markdown, rows_of


def scores(value: float, half: float = 0.02) -> dict[str, dict[str, float]]:
    return {"oracle/iou_3d": {"value": value, "low": value - half, "high": value + half, "count": 50}}


FOUND = {
    "full": {0: scores(0.80), 1: scores(0.82)},
    "worse": {0: scores(0.70), 1: scores(0.74)},
    "unfinished": {0: scores(0.5)},
    "absent": {},
}
MEANINGS = dict.fromkeys(FOUND, "what it is")


def test_differences_are_taken_seed_by_seed() -> None:
    full, worse, unfinished = rows_of(FOUND, MEANINGS)
    number = worse.numbers["oracle/iou_3d"]
    assert (number.mean, number.difference) == (pytest.approx(0.72), pytest.approx(-0.09))
    assert number.difference_half == pytest.approx(12.706 * np.std([-0.10, -0.08], ddof=1) / math.sqrt(2), rel=1e-3)
    assert full.numbers["oracle/iou_3d"].difference is None
    alone = unfinished.numbers["oracle/iou_3d"]
    assert (alone.half, alone.difference_half) == (pytest.approx(0.02), None)
    assert alone.difference == pytest.approx(-0.3)


def test_the_interval_of_a_mean_knows_objects_and_seeds() -> None:
    full = rows_of(FOUND, MEANINGS)[0].numbers["oracle/iou_3d"]
    assert full.half == pytest.approx(math.hypot(0.02, 12.706 * 0.01), rel=1e-3)
    assert interval(np.array([1.0])) is None
    assert interval(np.array([1.0, 1.0, 1.0])) == 0


def test_the_table() -> None:
    lines = markdown(rows_of(FOUND, MEANINGS)).splitlines()
    assert lines[0] == "| variant | seeds | oracle/iou_3d ↑ |"
    assert lines[1] == "|---|---|---|"
    assert lines[2].startswith("| full: what it is | 2 | 0.810 ± 0.1")
    assert "(-0.090 ± 0.127)" in lines[3]
    assert lines[4] == "| unfinished: what it is | 1 | 0.500 ± 0.020 (-0.300) |"
    assert len(lines) == 5
