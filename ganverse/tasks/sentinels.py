"""Watches a training: stops at the first number that is not finite, warns of collapse, explains a full memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.weights import write_atomically
from ganverse.tasks.counting import images_seen

log = logging.getLogger(__name__)


class NonFinite(pl.Callback):
    """Stops before a loss or gradient that is not finite reaches the weights.

    What happened goes to `folder/non-finite.json`: step, images seen, process and the samples' indices. As every sample
    is a pure function of its index and the weights are those of the step before, the batch can be made again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = 0
        self._indices: list[int] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Remembers the batch at hand."""
        self._seen = images_seen(pl_module)
        self._indices = sample_indices(batch, self._seen, trainer.global_rank)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """The loss."""
        if not loss.isfinite().all():
            self._stop(trainer, "the loss")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """The gradients, of all parameters at once; float16's scaler skips such steps by itself."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if parameters and not torch.nn.utils.get_total_norm([p.grad for p in parameters]).isfinite():
            names = {id(p): name for name, p in pl_module.named_parameters()}
            bad = [names.get(id(p), "?") for p in parameters if p.grad is not None and not p.grad.isfinite().all()]
            self._stop(trainer, f"the gradient of {bad[0]}" if bad else "the norm of the gradient")

    def _stop(self, trainer: pl.Trainer, what: str) -> None:
        facts = {
            "what": what,
            "step": trainer.global_step,
            "images_seen": self._seen,
            "rank": trainer.global_rank,
            "indices": self._indices,
        }
        path = self._folder / "non-finite.json"
        write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
        raise GanverseError(
            f"expected finite numbers, got {what} at {self._seen:,} images, samples {self._indices[:4]}...; noted in "
            f"{path}, the last checkpoint is from before; lower the learning rate or ask for precision 32-true"
        )


def sample_indices(batch: object, seen: int, rank: int) -> list[int]:
    """Global indices of a batch: those it carries, else the rank's block of what follows on the images seen."""
    own = getattr(batch, "sample_index", None)
    if isinstance(own, Tensor):
        return [int(index) for index in own]
    count = len(batch) if isinstance(batch, Tensor) else 0
    return list(range(seen + rank * count, seen + (rank + 1) * count))


@dataclass(frozen=True)
class Alarm:
    """A logged number that should stay within bounds, and what it means if it does not."""

    metric: str
    low: float
    high: float
    meaning: str


ALARMS = (
    Alarm("iou/own_view", 0.1, 1.1, "shapes and masks hardly meet: collapsed masks, or the template is too small"),
    Alarm("camera/elevation_degrees", -30.0, 60.0, "the cameras drift below or above the object"),
    Alarm("camera/log_distance_spread", -1.0, 0.7, "the cameras' distances drift apart"),
    Alarm("loss/move", -1.0, 1.0, "vertices run away: a degenerate mesh"),
    Alarm("loss/flatten", -1.0, 1.0, "neighbouring faces fold: a degenerate mesh"),
    Alarm("loss/discriminator", 0.01, 20.0, "one player has won: fakes collapse"),
)


class Watch(pl.Callback):
    """Warns, once per alarm, of a logged number out of bounds after `patience` images (before, anything may be).

    every: steps between two looks.
    """

    def __init__(self, every: int = 10, patience: int = 2000, alarms: tuple[Alarm, ...] = ALARMS) -> None:
        self._every, self._patience, self._alarms = every, patience, alarms
        self._said: set[str] = set()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Looks at what was just logged."""
        due = trainer.is_global_zero and trainer.global_step % self._every == 0
        if due and images_seen(pl_module) >= self._patience:
            self._look(trainer)

    def _look(self, trainer: pl.Trainer) -> None:
        for alarm in self._alarms:
            value = float(trainer.logged_metrics.get(alarm.metric, alarm.low / 2 + alarm.high / 2))
            if alarm.metric not in self._said and not alarm.low <= value <= alarm.high:
                self._said.add(alarm.metric)
                log.warning("%s is %.3g: %s", alarm.metric, value, alarm.meaning)


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turns an exhausted memory into a sentence.

    Raises:
        GanverseError: the memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_large() from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise _too_large() from error


def _too_large() -> GanverseError:
    return GanverseError(
        "expected a batch to fit into the memory, it does not; lower --data.batch (image GAN: --settings.batch), or "
        "spread the same images over more --trainer.devices"
    )
