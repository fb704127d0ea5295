"""What an evaluation leaves, in Weights & Biases: the numbers as a table, the figures, the meshes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ganverse.evaluation.catalog import CATALOG
from ganverse.training.media import Sheet, save, show
from ganverse.training.weights_and_biases import Dashboard


def number_sheet(metrics: Mapping[str, float]) -> Sheet:
    """Every number with its target and its meaning."""
    entries = ((CATALOG[key], value) for key, value in metrics.items())
    rows = tuple((e.key, v, "" if e.target is None else e.target, e.better, e.meaning) for e, v in entries)
    return Sheet(("number", "value", "target", "better", "meaning"), rows)


def show_report(folder: Path, metrics: Mapping[str, float], images: int, *, dashboard: bool) -> None:
    """Writes `folder`/numbers.csv; dashboard: sends it, the numbers, figures/ and meshes/ to W&B (or an offline run).

    images: that the evaluated weights have seen; their place on the step axis.
    """
    files = {"numbers": save(number_sheet(metrics), folder / "numbers")}
    if not dashboard:
        return
    files |= {path.stem: path for path in sorted(folder.glob("figures/*.png"))}
    files |= {path.stem: path for path in sorted(folder.glob("meshes/*.glb"))}
    board = Dashboard(folder, lambda: images)
    board.log_metrics(metrics)
    show(files, [board])
    board.finalize("success")
