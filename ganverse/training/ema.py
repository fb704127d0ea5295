"""Running average of a task's weights with a half-life in images, on top of Lightning's averaging callback."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from ganverse.training.counting import images_seen


class EMA(WeightAveraging):
    """Exponential average of all parameters; buffers are copied. When training ends the average takes their place.

    half_life: images after which the weight of a contribution has halved. Early on it is at most a twentieth of the
    images seen, so that the start is forgotten soon.
    """

    def __init__(self, half_life: float) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=self._average)
        self._half_life = half_life
        self._keep = 0.0
        self._counted = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts from where the checkpoint left off."""
        self._counted = images_seen(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Moves the average by what one batch is worth."""
        seen = images_seen(pl_module)
        self._keep = keep_factor(seen - self._counted, seen, self._half_life)
        self._counted = seen
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    @torch.no_grad()
    def _average(self, averages: list[Tensor], parameters: list[Tensor], _: Tensor | int) -> None:
        for average, parameter in zip(averages, parameters, strict=True):
            average.lerp_(parameter.to(average), 1.0 - self._keep)


def keep_factor(images: int, seen: int, half_life: float) -> float:
    """Weight that the old average keeps after a batch of `images`, `seen` images into the training."""
    effective = min(half_life, 0.05 * seen)
    return 0.5 ** (images / effective) if effective > 0 else 0.0
