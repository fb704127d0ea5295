from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganverse.masks.filtering import FilterCounts
from ganverse.training.camera_history import CameraMoment
from ganverse.training.charts import BLUE, bars, camera_wheel, curves, hue, turn
from ganverse.training.overview import MAX_POINTS, curve_points, drop_chart


def moments(*azimuths: tuple[float, ...]) -> list[CameraMoment]:
    return [CameraMoment(100 * i, row, (0.0,) * len(row), (4.0,) * len(row)) for i, row in enumerate(azimuths)]


def place_of(image: Image.Image, color: tuple[int, int, int], rows: int) -> tuple[float, float]:
    """Mean x and y of a color, from the middle of the first `rows` rows, in pixels."""
    pixels = np.asarray(image).astype(int)[:rows]
    y, x = np.nonzero((abs(pixels - color) <= 8).all(axis=2))
    return x.mean() - image.width / 2, y.mean() - rows / 2


@pytest.mark.parametrize(("azimuth", "x", "y"), [(0.0, 0, 1), (90.0, 1, 0), (180.0, 0, -1), (270.0, -1, 0)])
def test_the_wheel_is_seen_from_above_front_at_the_bottom(azimuth: float, x: int, y: int) -> None:
    image = camera_wheel(moments((azimuth,), (azimuth,)))
    found = np.array(place_of(image, hue(azimuth), image.width)) / image.width
    assert 0.2 < np.hypot(*found) < 0.45
    assert found / np.hypot(*found) == pytest.approx((x, y), abs=0.05)


def test_a_view_that_turns_leaves_its_tick_behind() -> None:
    image = camera_wheel(moments((0.0,), (20.0,), (40.0,)))
    pixels = np.asarray(image).astype(int)[: image.width]
    y, x = np.nonzero((abs(pixels - hue(0.0)) <= 8).all(axis=2))
    angles = np.degrees(np.arctan2(x - image.width / 2, y - image.width / 2))
    assert angles.min() == pytest.approx(0, abs=3), "tick and start"
    assert angles.max() == pytest.approx(40, abs=3), "the end of the track"


def test_bars_are_as_long_as_their_counts() -> None:
    image = bars({"kept": 90, "too small": 30, "cut off": 0}, "images")
    blue = (abs(np.asarray(image).astype(int) - BLUE) <= 8).all(axis=2)
    lengths = [blue[40 + 26 * row + 9].sum() for row in range(3)]
    assert lengths[1] == pytest.approx(lengths[0] / 3, abs=2)
    assert lengths[2] <= 2


def test_drops_are_named_and_counted() -> None:
    counts = FilterCounts(kept=3, no_object=1, several_objects=2, too_small=0, cut_off=0)
    assert drop_chart(counts).size == bars(dict.fromkeys("abcde", 1), "").size
    assert np.asarray(drop_chart(counts)).tobytes() != np.asarray(drop_chart(FilterCounts(kept=3))).tobytes()


def test_curves_have_one_plot_each_and_few_points() -> None:
    lines = [{"images": 4 * i, "step": i, "seconds": 0.1, "loss": 1.0 / (i + 1), "gap": None} for i in range(2000)]
    series = curve_points(lines)
    assert set(series) == {"loss"}
    assert len(series["loss"]) <= MAX_POINTS + 1
    assert series["loss"][-1] == (4 * 1999, 1 / 2000)
    assert curve_points([]) == {}
    assert curves({"a": [(0, 1.0)], "b": [(0, 1.0), (5, float(2))]}, columns=1).size == (240, 260)


def test_turns_are_short() -> None:
    assert [turn(degrees) for degrees in (10, -350, 190, 359)] == [10, 10, -170, -1]
