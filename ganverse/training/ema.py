"""Exponential moving average of a module's weights, with a half-life in images."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch.optim.swa_utils import AveragedModel

from ganverse.errors import POSITIVE, GanverseError, check_ranges


class EMA(WeightAveraging):
    """Averages all parameters of a module that counts `images_seen`; buffers are copied.

    Checkpoints store the average as the module's state (Lightning's layout), and validation uses it. At the end of
    training the two change places: the module holds the average, and a checkpoint can still be resumed.

    Args:
        half_life: images in which the weight of a contribution halves. At most a twentieth of the images seen, so that
            the start is forgotten quickly.
    """

    def __init__(self, half_life: float) -> None:
        check_ranges({"half_life": half_life}, half_life=POSITIVE)
        super().__init__(use_buffers=False)
        self._half_life = half_life
        self._counted = 0
        self._ended = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copies the module once it is built. Skips the base class's warning: nothing is sharded here."""
        if stage == "fit":
            pl_module.configure_model()
            self._average_model = AveragedModel(pl_module, pl_module.device)
            self._ended = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continues counting from the checkpoint."""
        self._counted = _images_seen(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Updates the average by the images since the last update.

        `AveragedModel.update_parameters` would make the host wait for a GPU.
        """
        if trainer.global_step <= self._latest_update_step:
            return
        self._latest_update_step = trainer.global_step
        seen = _images_seen(pl_module)
        keep = keep_factor(seen - self._counted, seen, self._half_life) if self._counted else 0.0
        self._counted = seen
        assert self._average_model is not None
        self._move(self._average_model, pl_module, keep)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the weights by their average."""
        self._swap_models(pl_module)
        self._ended = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Saves the average as the module's state, and the weights beside it."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        own, copy = checkpoint["current_model_state"], checkpoint["state_dict"]
        copy |= {name: value for name, value in own.items() if name.endswith("_extra_state")}
        if self._ended:
            checkpoint["state_dict"], checkpoint["current_model_state"] = own, copy

    @torch.no_grad()
    def _move(self, average: AveragedModel, module: pl.LightningModule, keep: float) -> None:
        for mean, parameter in zip(average.module.parameters(), module.parameters(), strict=True):
            mean.lerp_(parameter.to(mean), 1.0 - keep)
        for copied, buffer in zip(average.module.buffers(), module.buffers(), strict=True):
            copied.copy_(buffer)
        average.n_averaged += 1


def keep_factor(images: int, seen: int, half_life: float) -> float:
    """Weight of the old average after a batch of `images`, with `seen` images so far."""
    effective = min(half_life, 0.05 * seen)
    return 0.5 ** (images / effective) if effective > 0 else 0.0


def _images_seen(module: pl.LightningModule) -> int:
    seen = getattr(module, "images_seen", None)
    if not isinstance(seen, int):
        raise GanverseError(f"expected {type(module).__name__} to count `images_seen`, which EMA needs; it does not")
    return seen
