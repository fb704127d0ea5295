"""A time budget turned into a number of images, so that schedules in images end well on machines of any speed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import pytorch_lightning as pl
import torch

from ganverse.generators.weights import write_atomically
from ganverse.pipeline.run_directory import StageFolder
from ganverse.tasks.counting import images_seen
from ganverse.tasks.devices import TrainerSettings, choose_devices
from ganverse.tasks.training import build_trainer, without_advice

PLAN = "plan.json"
SHARE_FOR_TRAINING = 0.9
"""The rest of a time budget is for pictures, checkpoints and whatever else the machine does meanwhile."""

OVERTIME = 1.1

_LOG = logging.getLogger(__name__)


class _Stopwatch(pl.Callback):
    """Times `steps` steps after two that warm up kernels and caches."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._first = (0, 0.0)
        self.images_per_second = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        seen, now = images_seen(pl_module), time.monotonic()
        if batch_idx == 1:
            self._first = (seen, now)
        elif batch_idx > 1:
            self.images_per_second = (seen - self._first[0]) / (now - self._first[1])
        trainer.should_stop = batch_idx >= 1 + self._steps


def affordable_images(
    folder: StageFolder,
    images: int,
    minutes: float | None,
    settings: TrainerSettings,
    build: Callable[[int], tuple[pl.LightningModule, pl.LightningDataModule]],
    *,
    steps: int = 6,
) -> int:
    """`images`, or fewer if this machine cannot do them in `minutes`; decided once per stage and kept in plan.json.

    build: makes a fresh task for a number of images, and its data; a few steps in the middle of the schedule are timed
    and thrown away. Runs with several processes are not measured: they get all images.
    """
    path = folder.path / PLAN
    if path.is_file():
        return int(json.loads(path.read_text(encoding="utf-8"))["images"])
    if minutes is None or choose_devices(settings).count * settings.nodes > 1:
        return images
    task, data = build(images)
    rate = measure(task, data, settings, images // 2, steps)
    planned = min(images, round(rate * 60 * minutes * SHARE_FOR_TRAINING))
    _LOG.info("%.0f images per second: %s images in %.1f minutes", rate, f"{planned:,}", planned / rate / 60)
    write_atomically(path, (json.dumps({"images": planned, "images_per_second": round(rate, 2)}) + "\n").encode())
    return planned


def latest_end(minutes: float | None) -> float | None:
    """When training ends even if the machine has become slower than measured."""
    return None if minutes is None else minutes * OVERTIME


def measure(
    task: pl.LightningModule, data: pl.LightningDataModule, settings: TrainerSettings, start: int, steps: int
) -> float:
    """Images per second of `steps` training steps of a throw-away task that stands at `start` images."""
    torch.as_tensor(task.images_seen).fill_(start)
    stopwatch = _Stopwatch(steps)
    trainer = build_trainer(settings, [stopwatch], [])
    with without_advice():
        trainer.fit(task, data)
    return stopwatch.images_per_second
