"""How the cameras move while they are learned: `cameras.jsonl`, one line of all views now and then."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from jaxtyping import Float
from torch import Tensor

from ganverse.geometry.cameras import Cameras
from ganverse.tasks.inverse import InverseGraphicsTask
from ganverse.training.counting import images_seen
from ganverse.training.metrics_log import read_metrics


@dataclass(frozen=True)
class CameraMoment:
    """All cameras after `images` images, by view id; angles in degrees, distances in world units."""

    images: int
    azimuth_degrees: tuple[float, ...]
    elevation_degrees: tuple[float, ...]
    distance: tuple[float, ...]


class CameraHistory(pl.Callback):
    """Notes the camera table at the start, every `every` images, and at the end; the first process does it alone.

    The first line is where the cameras started: the annotated azimuths. A resumed run first drops the lines that it is
    about to write again.
    """

    def __init__(self, path: Path, every: int = 500) -> None:
        self._path, self._every = path, every
        self._noted = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The start, or where a resumed training stands."""
        if trainer.is_global_zero:
            kept = [line for line in read_metrics(self._path) if line["images"] < images_seen(pl_module)]
            self._path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._note(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """When it is time."""
        if images_seen(pl_module) // self._every > self._noted // self._every:
            self._note(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The result."""
        if images_seen(pl_module) > self._noted:
            self._note(trainer, pl_module)

    def _note(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        assert isinstance(task, InverseGraphicsTask)
        self._noted = images_seen(task)
        if not trainer.is_global_zero:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(self._noted, task.cameras.all())) + "\n")


def read_history(path: Path) -> list[CameraMoment]:
    """All moments in order; none if there is no file."""
    return [
        CameraMoment(
            line["images"], tuple(line["azimuth_degrees"]), tuple(line["elevation_degrees"]), tuple(line["distance"])
        )
        for line in read_metrics(path)
    ]


def _line(images: int, cameras: Cameras) -> dict[str, int | list[float]]:
    return {
        "images": images,
        "azimuth_degrees": _plain(cameras.azimuth.rad2deg()),
        "elevation_degrees": _plain(cameras.elevation.rad2deg()),
        "distance": _plain(cameras.distance),
    }


def _plain(values: Float[Tensor, " views"]) -> list[float]:
    return [round(float(value), 4) for value in values.detach()]
