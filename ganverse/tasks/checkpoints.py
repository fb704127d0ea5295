"""`checkpoints/last.ckpt`: everything a run needs to go on, replaced atomically every so many minutes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytorch_lightning as pl

from ganverse.tasks.counting import agreed

LAST = "last.ckpt"


class LastCheckpoint(pl.Callback):
    """Writes `folder/last.ckpt` every `minutes`, when training stops, and never half of it.

    A run killed at any moment loses at most one interval. Put it last among the callbacks, so that what the others
    decide in the same batch is in the file.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self._path = folder / LAST
        self._seconds = 60.0 * minutes
        self._written = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Saves when it is time, or when another callback has asked to stop."""
        due = time.monotonic() - self._written >= self._seconds
        if agreed(trainer, due or trainer.should_stop):
            self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Writes the checkpoint now; every process must call it."""
        temporary = self._path.with_name(f".{LAST}.part")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            os.replace(temporary, self._path)
        self._written = time.monotonic()


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from, if there is one."""
    path = folder / LAST
    return path if path.is_file() else None
