"""How far a training is: a progress bar on a terminal, a plain line now and then elsewhere; both count images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Literal

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from ganverse.training.counting import images_seen

ProgressStyle = Literal["auto", "bar", "lines", "none"]


class ImagesProgress(pl.Callback):
    """Shows images seen, images per second, what remains, and the numbers the task puts into the progress bar.

    title: name of the stage. images: the whole budget, which may change. style: "auto" is a bar on a terminal and
    lines elsewhere. interval: seconds between two plain lines.
    """

    def __init__(
        self, title: str, images: Callable[[], int], style: ProgressStyle = "auto", interval: float = 15.0
    ) -> None:
        self._title, self._images = title, images
        self._style = resolve(style)
        self._interval = interval
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._first = (0, 0.0)
        self._shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar on the first process."""
        now = time.monotonic()
        self._first, self._shown = (images_seen(pl_module), now), now
        if trainer.is_global_zero and self._style == "bar":
            self._bar = _columns(self._console, "images")
            self._bar.start()
            self._bar.add_task(self._title, total=self._images(), completed=images_seen(pl_module), numbers="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Moves the bar, or writes a line when it is time."""
        now = time.monotonic()
        if not trainer.is_global_zero or self._style == "none" or now - self._shown < self._pause():
            return
        self._shown = now
        self._show(trainer, images_seen(pl_module), now)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the last state and closes the bar."""
        if trainer.is_global_zero and self._style != "none":
            self._show(trainer, images_seen(pl_module), time.monotonic())
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the message is readable."""
        self._close()

    def _pause(self) -> float:
        return self._interval if self._bar is None else 0.2

    def _show(self, trainer: pl.Trainer, images: int, now: float) -> None:
        since, moment = self._first
        rate = (images - since) / max(now - moment, 1e-6)
        numbers = [f"{rate:.0f} img/s"]
        numbers += [f"{name} {float(value):.3g}" for name, value in trainer.progress_bar_metrics.items()]
        if self._bar is not None:
            bar = self._bar.task_ids[0]
            self._bar.update(bar, total=self._images(), completed=images, numbers="  ".join(numbers))
            return
        total = self._images()
        remaining = max(total - images, 0) / rate if rate > 0 else 0.0
        line = f"{self._title}: {images:,} of {total:,} images ({100 * images / max(total, 1):.1f} %), "
        numbers.insert(1, f"{clock(remaining)} to go")
        self._console.print(line + ", ".join(numbers), highlight=False, markup=False, soft_wrap=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class ShardProgress(pl.Callback):
    """The same for `trainer.predict`: shards that are finished, by all processes and all runs so far.

    total: of all shards. finished: counts those on disk.
    """

    def __init__(
        self,
        title: str,
        total: int,
        finished: Callable[[], int],
        style: ProgressStyle = "auto",
        interval: float = 15.0,
    ) -> None:
        self._title, self._total, self._finished = title, total, finished
        self._style, self._interval = resolve(style), interval
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._shown = 0.0

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar on the first process."""
        if trainer.is_global_zero and self._style == "bar":
            self._bar = _columns(self._console, "shards")
            self._bar.start()
            self._bar.add_task(self._title, total=self._total, completed=self._finished(), numbers="")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Moves the bar, or writes a line when it is time."""
        if not trainer.is_global_zero or self._style == "none":
            return
        now, finished = time.monotonic(), self._finished()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=finished)
        elif finished == self._total or now - self._shown >= self._interval:
            self._shown = now
            self._console.print(f"{self._title}: {finished} of {self._total} shards", highlight=False)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the message is readable."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def resolve(style: ProgressStyle) -> ProgressStyle:
    """What "auto" means here."""
    return style if style != "auto" else ("bar" if sys.stderr.isatty() else "lines")


def _columns(console: Console, unit: str) -> Progress:
    counts = "{task.completed:,.0f}/{task.total:,.0f} " + unit
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn(counts, table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
        console=console,
    )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as a person writes them: 75 is "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
