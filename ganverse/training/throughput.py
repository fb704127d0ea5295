"""How fast a training is, as a logged number."""

from __future__ import annotations

import time
from collections import deque

import pytorch_lightning as pl

from ganverse.training.counting import images_seen


class Throughput(pl.Callback):
    """Logs `images_per_second` of all processes together, over the last `window` steps."""

    def __init__(self, window: int = 20) -> None:
        self._moments: deque[tuple[int, float]] = deque(maxlen=window + 1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._moments.append((images_seen(pl_module), time.monotonic()))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Reads it."""
        self._moments.append((images_seen(pl_module), time.monotonic()))
        (first, start), (last, end) = self._moments[0], self._moments[-1]
        pl_module.log("images_per_second", (last - first) / max(end - start, 1e-6), batch_size=1)
