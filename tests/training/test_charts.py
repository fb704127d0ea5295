from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from ganverse.masks.filtering import FilterCounts
from ganverse.training.charts import Moment, camera_wheel, drop_chart, metric_curves, read_curves


def moments(*azimuths: tuple[float, ...]) -> list[Moment]:
    return [(100 * i, row) for i, row in enumerate(azimuths)]


def angles_of(image: Image.Image, azimuth: float) -> np.ndarray:
    """Angles of the pixels in the color of a view annotated with `azimuth`, counter-clockwise from the bottom."""
    color = 255 * np.array(colormaps["hsv"](azimuth / 360)[:3])
    pixels = np.asarray(image).astype(int)
    wheel = abs(pixels - 255).min(axis=2) + (pixels.max(axis=2) < 250)
    rows, columns = np.nonzero((abs(pixels - color) <= 12).all(axis=2))
    top, bottom, left, right = _box(wheel > 0)
    return np.degrees(np.arctan2(columns - (left + right) / 2, rows - (top + bottom) / 2))


def _box(marked: np.ndarray) -> tuple[int, int, int, int]:
    """Of the wheel: below the title and inside the labels, its outer circle."""
    marked = marked[70:]
    rows, columns = np.nonzero(marked.any(axis=1))[0], np.nonzero(marked.any(axis=0))[0]
    return rows[0] + 70, rows[-1] + 70, columns[0], columns[-1]


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 180.0, 270.0])
def test_the_wheel_is_seen_from_above_front_at_the_bottom(azimuth: float) -> None:
    found = angles_of(camera_wheel(moments((azimuth,), (azimuth,))), azimuth)
    off = (found - azimuth + 180) % 360 - 180
    assert len(off) > 50
    assert np.median(abs(off)) < 5


def test_a_view_that_turns_leaves_its_tick_behind() -> None:
    found = angles_of(camera_wheel(moments((0.0,), (20.0,), (40.0,))), 0.0)
    assert found.min() == pytest.approx(0, abs=6), "tick and start"
    assert found.max() == pytest.approx(40, abs=6), "the end of the track"


def test_drops_are_named_and_counted() -> None:
    chart = drop_chart(FilterCounts(kept=90, too_small=30))
    blue = (abs(np.asarray(chart).astype(int) - (31, 119, 180)) <= 8).all(axis=2)
    runs = [row.sum() for row in blue if row.any()]
    assert max(runs) == pytest.approx(3 * min(runs), rel=0.05), "bars are as long as their counts"


def write(path: Path, rows: list[dict[str, float]], time: int) -> Path:
    names = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(names))
        table.writeheader()
        table.writerows(rows)
    os.utime(path, (time, time))
    return path


def test_curves_are_read_over_images_and_resumed_runs_replace_what_was_lost(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", [{"images": 4.0 * i, "step": i, "loss": float(i)} for i in range(1, 6)], 1)
    second = write(
        tmp_path / "b.csv",
        [{"images": 16.0, "step": 4, "loss": 40.0}, {"val/iou": 0.5}, {"images": 20.0, "step": 5, "loss": 50.0}],
        2,
    )
    found = read_curves([first, second])
    assert set(found) == {"loss", "val/iou"}
    assert found["loss"] == [(4, 1), (8, 2), (12, 3), (16, 40), (20, 50)]
    assert found["val/iou"] == [(16, 0.5)], "of the step before"
    assert read_curves([]) == {}


def test_curves_have_one_plot_each(tmp_path: Path) -> None:
    rows = [{"images": 4 * i, "loss": 1 / (i + 1), "iou": i / 2000} for i in range(2000)]
    one = metric_curves([write(tmp_path / "a.csv", rows, 1)])
    assert one is not None
    rows = [{**row, **{f"more/{k}": 0.0 for k in range(4)}} for row in rows[:3]]
    two = metric_curves([write(tmp_path / "b.csv", rows, 1)])
    assert two is not None
    assert two.height == 2 * one.height
    assert metric_curves([]) is None
