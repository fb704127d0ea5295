"""Pictures of a training on disk: `samples/<name>-<images seen>.png`, and in wandb where that is switched on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from PIL import Image
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganverse.tasks.counting import images_seen

Painter = Callable[[pl.LightningModule], dict[str, Tensor]]
"""The task as it stands to named pictures [3, height, width] in [0, 1], always of the same samples."""


class Pictures(pl.Callback):
    """Paints at the start, every `minutes`, and when training ends; the first process does it alone."""

    def __init__(self, folder: Path, paint: Painter, minutes: float) -> None:
        self._folder, self._paint, self._seconds = folder, paint, 60.0 * minutes
        self._painted = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Paints what an untrained (or resumed) network does."""
        self.write(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Paints when it is time."""
        if time.monotonic() - self._painted >= self._seconds:
            self.write(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Paints the result."""
        self.write(trainer, pl_module)

    @torch.no_grad()
    def write(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Paints now and leaves the task's mode as it was."""
        self._painted = time.monotonic()
        if not trainer.is_global_zero:
            return
        training = task.training
        task.eval()
        pictures = self._paint(task)
        task.train(training)
        for name, picture in pictures.items():
            save_picture(picture, self._folder / f"{name}-{images_seen(task):09d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for name, picture in pictures.items():
                    logger.log_image(f"pictures/{name}", [as_image(picture)], step=trainer.global_step)


def grid(images: Float[Tensor, "count 3 height width"], columns: int, *, zoom: int = 1) -> Float[Tensor, "3 rows cols"]:
    """Images in rows of `columns`, every pixel `zoom` times as large; missing ones at the end are white."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images, images.new_ones(rows * columns - count, 3, height, width)])
    table = (
        padded.view(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)
    )
    return table.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)


def as_image(picture: Float[Tensor, "3 height width"]) -> Image.Image:
    """8-bit picture of values in [0, 1]; what lies outside is clamped."""
    pixels = picture.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


def save_picture(picture: Float[Tensor, "3 height width"], path: Path) -> None:
    """Writes a PNG atomically; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    as_image(picture).save(temporary, format="PNG")
    os.replace(temporary, path)
