"""Charts of a training: camera wheel, metric curves, reasons for dropped samples."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ganverse.masks.filtering import FilterCounts

MAX_POINTS = 500
_COLUMNS = 4
_AXES = {"images", "step", "epoch"}


Moment = tuple[int, Sequence[float]]
"""Images seen, and every camera's azimuth at that time, in degrees by view id."""


def camera_wheel(history: Sequence[Moment]) -> Image.Image:
    """Azimuths during training, seen from above, front at the bottom: one track per view from inner to outer ring.

    Ticks outside the outer ring mark the annotated azimuths. A view that does not move has a straight track.
    """
    figure = Figure((5.2, 5.6), layout="constrained")
    axes = figure.add_subplot(projection="polar", theta_offset=-np.pi / 2, ylim=(0, 1.15))
    (_, start), (seen, end) = history[0], history[-1]
    radius = [0.3 + 0.7 * images / max(seen, 1) for images, _ in history]
    tracks = np.unwrap(np.deg2rad([azimuths for _, azimuths in history]), axis=0)
    for view, annotated in enumerate(np.deg2rad(start)):
        color = colormaps["hsv"](annotated / (2 * np.pi) % 1)
        axes.plot(tracks[:, view], radius, color=color, marker="o", markevery=[-1], markersize=4)
        axes.plot([annotated] * 2, [1.04, 1.13], color=color, linewidth=2.5)
    axes.set_yticks([])
    axes.set_xticks(np.deg2rad(range(0, 360, 30)), ["0° front", *(f"{d}°" for d in range(30, 360, 30))])
    moved = np.abs((np.subtract(end, start) + 180) % 360 - 180)
    figure.suptitle(
        f"{len(moved)} views, moved by {moved.mean():.1f}° on average, {moved.max():.1f}° at most\n"
        f"tick: annotated    inner ring: start    outer ring: {seen:,} images",
        fontsize=9,
    )
    return _drawn(figure)


def drop_chart(counts: FilterCounts) -> Image.Image:
    """Images kept and dropped, by reason."""
    named = {name.replace("_", " "): count for name, count in asdict(counts).items()}
    figure = Figure((5.2, 2.2), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(list(named), list(named.values()))
    total = max(sum(named.values()), 1)
    axes.bar_label(bars, [f"{count:,} ({100 * count / total:.1f} %)" for count in named.values()], padding=4)
    axes.margins(x=0.6)
    axes.invert_yaxis()
    axes.set_title(f"{counts.images:,} images, {100 * counts.dropped_share:.1f} % dropped", fontsize=10)
    return _drawn(figure)


def metric_curves(files: Sequence[Path]) -> Image.Image | None:
    """One small plot over images for every number in metrics.csv files (`CSVLogger`), oldest first; None if empty."""
    series = read_curves(files)
    if not series:
        return None
    rows = -(-len(series) // _COLUMNS)
    figure = Figure((2.4 * _COLUMNS, 1.5 * rows), layout="constrained")
    for place, (name, points) in enumerate(series.items()):
        axes = figure.add_subplot(rows, _COLUMNS, place + 1)
        thin = points[:: -(-len(points) // MAX_POINTS)]
        axes.plot(*zip(*thin, strict=True), linewidth=1)
        axes.set_title(f"{name}  {points[-1][1]:.3g}", fontsize=7)
        axes.tick_params(labelsize=6)
    return _drawn(figure)


def read_curves(files: Sequence[Path]) -> Mapping[str, Sequence[tuple[float, float]]]:
    """(images, value) of every logged number; later files override what a resumed run logged again."""
    series: dict[str, dict[float, float]] = {}
    for file in files:
        images = 0.0
        with file.open(encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                images = float(row.get("images") or images)  # validation rows follow their training step
                for name in row.keys() - _AXES:
                    if row[name]:
                        series.setdefault(name, {})[images] = float(row[name])
    return {name: sorted(points.items()) for name, points in sorted(series.items())}


def _drawn(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
