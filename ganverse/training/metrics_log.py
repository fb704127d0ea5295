"""`metrics.jsonl`: one JSON object a line, for any tool to read while a training goes on; `metrics.csv` at its end."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganverse.io import write_atomically


class MetricsLog(Logger):
    """Appends what the task logs to `path`, together with `images`, the images seen by then.

    A resumed run first drops the lines it is about to write again (those after its last checkpoint).
    """

    def __init__(self, path: Path, images: Callable[[], int]) -> None:
        super().__init__()
        self.path = path
        self._images = images
        self._start = time.monotonic()
        self._begun = False

    @property
    def name(self) -> str:
        """Name of the logger, for Lightning."""
        return "metrics"

    @property
    def version(self) -> str:
        """One run directory holds one version."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the stage's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes one line; numbers that are not finite become null, as JSON has no name for them."""
        line: dict[str, float | int | None] = {
            "images": self._images(),
            "step": step,
            "seconds": round(time.monotonic() - self._start, 2),
        }
        line.update({key: plain_number(value) for key, value in metrics.items() if key not in (*line, "epoch")})
        if not self._begun:
            self._rewind(self._images())
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """The same numbers once more as one table beside it, `metrics.csv`, for spreadsheets."""
        lines = read_metrics(self.path)
        columns = list(dict.fromkeys(key for line in lines for key in line))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
        write_atomically(self.path.with_suffix(".csv"), text.getvalue().encode())

    def _rewind(self, images: int) -> None:
        """Keeps the lines before `images` only; half a line, left by a kill, goes as well."""
        self._begun = True
        kept = [json.dumps(line) + "\n" for line in read_metrics(self.path) if line["images"] < images]
        temporary = self.path.with_suffix(".part")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file, in order; none if there is no file."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines if line]


def plain_number(value: float) -> float | None:
    """A float with six digits, or None for what is not finite."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
