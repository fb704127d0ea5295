"""What every training shows of itself, whatever the stage: its curves, and which samples were dropped and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pytorch_lightning as pl
from PIL import Image

from ganverse.data.multi_view import MultiViewStream
from ganverse.masks.filtering import FilterCounts
from ganverse.training.charts import bars, curves
from ganverse.training.metrics_log import MetricsLog, read_metrics

MAX_POINTS = 500
_NO_CURVES = ("images", "step", "seconds")


def overview(trainer: pl.Trainer) -> dict[str, Image.Image]:
    """`curves` of everything logged so far, `dropped` of the samples that this process has made since it started."""
    drawn = {}
    for logger in trainer.loggers:
        series = curve_points(read_metrics(logger.path)) if isinstance(logger, MetricsLog) else {}
        if series:
            drawn["curves"] = curves(series)
    stream = getattr(trainer, "datamodule", None)
    if isinstance(stream, MultiViewStream) and stream.counts.images:
        drawn["dropped"] = drop_chart(stream.counts)
    return drawn


def curve_points(lines: Sequence[Mapping[str, float | None]]) -> dict[str, list[tuple[float, float]]]:
    """(images, value) of every logged number, thinned to at most `MAX_POINTS` and the last."""
    series: dict[str, list[tuple[float, float]]] = {}
    stride = -(-len(lines) // MAX_POINTS)
    for line in [*lines[::stride], *lines[-1:]] if lines else ():
        for name, value in line.items():
            if value is not None and name not in _NO_CURVES:
                series.setdefault(name, []).append((float(line["images"] or 0), float(value)))
    return series


def drop_chart(counts: FilterCounts) -> Image.Image:
    """Images kept and dropped, by reason."""
    named = {name.replace("_", " "): count for name, count in asdict(counts).items()}
    return bars(named, f"{counts.images:,} images looked at, {100 * counts.dropped_share:.1f} % dropped")
