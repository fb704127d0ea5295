"""The one way out for pictures, meshes and tables of a run: files always, Weights & Biases where asked for."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from PIL import Image
from pytorch_lightning.loggers.logger import Logger
from torch import Tensor

from ganverse.io import to_pil, write_atomically
from ganverse.training.counting import images_seen
from ganverse.training.overview import overview
from ganverse.training.weights_and_biases import Dashboard


@dataclass(frozen=True)
class Solid:
    """A textured mesh, as the bytes of a GLB file."""

    glb: bytes


@dataclass(frozen=True)
class Sheet:
    """A table: headings, and rows of as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


Medium = Float[Tensor, "3 height width"] | Image.Image | Solid | Sheet
"""A picture in [0, 1] or a finished one, a mesh, or a table."""

Painter = Callable[[pl.LightningModule], Mapping[str, Medium]]
"""The task as it stands to named pictures, meshes and tables, always of the same samples."""


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
        media = {**self._paint(task), **overview(trainer)}
        task.train(training)
        publish(media, self._folder, images_seen(task), trainer.loggers)


def publish(media: Mapping[str, Medium], folder: Path, images: int, loggers: Sequence[Logger] = ()) -> None:
    """Writes `folder/<name>-<images seen>.<png, glb or csv>`, and shows the same files under `media/<name>` in W&B.

    Call it on the first process only.
    """
    show({name: save(medium, folder / f"{name}-{images:09d}") for name, medium in media.items()}, loggers)


def show(files: Mapping[str, Path], loggers: Sequence[Logger]) -> None:
    """Files that are there already, in W&B under `media/<name>`: .png, .glb and .csv."""
    for logger in loggers:
        if isinstance(logger, Dashboard):
            logger.log_files({f"media/{name}": path for name, path in files.items()})


def save(medium: Medium, stem: Path) -> Path:
    """Writes `stem` with the ending that the medium calls for, and returns that path."""
    suffix, data = _encoded(medium)
    path = stem.with_name(stem.name + suffix)
    write_atomically(path, data)
    return path


def _encoded(medium: Medium) -> tuple[str, bytes]:
    if isinstance(medium, Solid):
        return ".glb", medium.glb
    if isinstance(medium, Sheet):
        return ".csv", _csv(medium).encode()
    buffer = io.BytesIO()
    (to_pil(medium) if isinstance(medium, Tensor) else medium).save(buffer, format="PNG")
    return ".png", buffer.getvalue()


def _csv(sheet: Sheet) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([sheet.columns, *sheet.rows])
    return text.getvalue()
