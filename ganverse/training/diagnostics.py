"""Watches a training: stops at the first number that is not finite, warns of collapse, explains a full memory."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.io import write_atomically
from ganverse.training.counting import images_seen

log = logging.getLogger(__name__)

NON_FINITE = "non-finite.json"


class NotFinite(GanverseError):
    """A loss or gradient is not finite."""


class NonFinite(pl.Callback):
    """Stops before a loss or gradient that is not finite reaches the weights, and keeps what it takes to look into it.

    What happened goes to `folder/non-finite.json`: step, images seen, process, the samples' indices and the schedule;
    the weights to `non-finite.pt` beside it. As every sample is a pure function of its index and the weights are those
    of before the step, `train.py --replay` makes the batch again (see `ganverse.pipeline.replay`). A step that a part
    of the program refuses, since its input is not finite for example, is kept as well.
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
            self._stop(trainer, pl_module, "the loss")

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
            what = f"the gradient of {bad[0]}" if bad else "the norm of the gradient"
            self._stop(trainer, pl_module, what)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keeps a step that was refused."""
        if isinstance(exception, GanverseError) and not isinstance(exception, NotFinite) and self._indices:
            self._keep(trainer, pl_module, f"an error: {exception}")

    def _stop(self, trainer: pl.Trainer, task: pl.LightningModule, what: str) -> None:
        path = self._keep(trainer, task, what)
        raise NotFinite(
            f"expected finite numbers, got {what} at {self._seen:,} images, samples {self._indices[:4]}...; look "
            f"into it with train.py --replay {path}; the last checkpoint is from before: lower the learning rate or "
            "ask for precision 32-true"
        )

    def _keep(self, trainer: pl.Trainer, task: pl.LightningModule, what: str) -> Path:
        settings = getattr(task, "settings", None)
        numbers = vars(settings) if is_dataclass(settings) else {}
        facts = {
            "what": what,
            "step": trainer.global_step,
            "images_seen": self._seen,
            "rank": trainer.global_rank,
            "world": trainer.world_size,
            "indices": self._indices,
            "schedule": {name: value for name, value in numbers.items() if name.endswith("images")},
        }
        weights = io.BytesIO()
        torch.save({name: value.cpu() for name, value in task.state_dict().items()}, weights)
        path = self._folder / NON_FINITE
        write_atomically(path.with_suffix(".pt"), weights.getvalue())
        write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
        return path


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
    Alarm("masks/coverage", 0.02, 0.9, "the masks collapse to nothing or to whole pictures"),
    Alarm("texture/contrast", 0.02, 1.0, "textures collapse to flat colors"),
    Alarm("texture/variety", 0.01, 1.0, "textures collapse: all objects get the same one"),
    Alarm("mesh/thin_faces", -1.0, 0.05, "faces lose their area: a degenerate mesh"),
    Alarm("mesh/volume", 0.0, 100.0, "a mesh is inside out"),
    Alarm("camera/azimuth_drift_degrees", -1.0, 60.0, "a camera drifts, or its annotation is wrong"),
    Alarm("camera/elevation_degrees", -30.0, 60.0, "the cameras drift below or above the object"),
    Alarm("camera/log_distance_spread", -1.0, 0.7, "the cameras' distances drift apart"),
    Alarm("loss/move", -1.0, 1.0, "vertices run away: a degenerate mesh"),
    Alarm("loss/flatten", -1.0, 1.0, "neighboring faces fold: a degenerate mesh"),
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
        "expected a batch to fit into the memory, it does not; lower --data.batch (image GAN: --settings.batch; "
        "generate: --per_shard or --data.sampling.block), or spread the same images over more --trainer.devices"
    )
