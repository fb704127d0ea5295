"""When a training ends: enough images, enough minutes, or somebody wants the machine back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from ganverse.training.cluster import REQUEUE_SIGNAL, in_job, requeue
from ganverse.training.counting import agreed, images_seen
from ganverse.training.devices import is_first_process

_WARM_UP_BATCHES = 2
_BATCHES_PER_PLAN = 4


class Budget(pl.Callback):
    """Stops after `images` images, or after `minutes` of training, summed over all resumptions (None: no limit).

    planned: the images that fit into the minutes at the pace so far, at most `images`; `reschedule` is told whenever
    this changes, so that a schedule counted in images ends well on a machine of any speed.
    """

    def __init__(
        self, images: int, minutes: float | None = None, reschedule: Callable[[int], None] | None = None
    ) -> None:
        self.planned = images
        self.used_up = False
        self._images = images
        self._seconds = None if minutes is None else 60.0 * minutes
        self._reschedule = reschedule
        self._spent = 0.0
        self._moment = time.monotonic()
        self._first = (0, 0.0)
        self._batches = 0

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {"seconds": self._spent, "planned": self.planned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting."""
        self._spent = float(state_dict["seconds"])
        if self._seconds is not None:
            self.planned = min(self._images, int(state_dict["planned"]))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock; nothing is left to do where a checkpoint already holds the whole budget."""
        self._moment = time.monotonic()
        self._tell()
        self._decide(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Plans anew now and then, and asks the trainer to stop when the budget is used up."""
        now = time.monotonic()
        self._spent += now - self._moment
        self._moment = now
        if self._seconds is not None:
            self._plan(trainer, images_seen(pl_module))
        self._decide(trainer, pl_module)

    def _plan(self, trainer: pl.Trainer, seen: int) -> None:
        """The first batches, which compile kernels and fill caches, say nothing about the pace."""
        self._batches += 1
        if self._batches == _WARM_UP_BATCHES:
            self._first = (seen, self._spent)
        if self._batches <= _WARM_UP_BATCHES or self._batches % _BATCHES_PER_PLAN:
            return
        assert self._seconds is not None
        pace = (seen - self._first[0]) / max(self._spent - self._first[1], 1e-6)
        fits = min(self._images, seen + int(pace * max(self._seconds - self._spent, 0.0)))
        # Processes must not disagree: their learning rates depend on it.
        self.planned = int(trainer.strategy.broadcast(fits))
        self._tell()

    def _tell(self) -> None:
        if self._reschedule is not None and self._seconds is not None:
            self._reschedule(self.planned)

    def _decide(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        late = self._seconds is not None and self._spent >= self._seconds
        enough = images_seen(task) >= self.planned
        self.used_up = enough or (self._seconds is not None and agreed(trainer, late))
        trainer.should_stop = trainer.should_stop or self.used_up


class Interrupted(Exception):
    """Somebody asked a stage to stop; everything done so far is on disk."""


class Interruption(pl.Callback):
    """Ctrl-C (SIGINT) and SIGTERM end training (or prediction) after the batch at hand, so that nothing is lost.

    A second Ctrl-C ends the process at once, as if this callback were not there. In a SLURM job SIGUSR1 does the same
    and asks for the job to be requeued (see `settle`).
    """

    def __init__(self) -> None:
        self.requested = False
        self.requeue = False
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listens from the first batch on (signals reach the main thread only)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, *([REQUEUE_SIGNAL] if in_job() else [])):
            self._before[number] = signal.signal(number, self._note)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Gives the signals back."""
        self._restore()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Passes the wish on to every process."""
        if agreed(trainer, self.requested):
            self.requested = True
            self.requeue = agreed(trainer, self.requeue)
            trainer.should_stop = True

    def settle(self) -> None:
        """Call when everything is on disk: requeues the SLURM job, if that is what was asked for."""
        if self.requeue and is_first_process():
            requeue()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listens from the first batch on."""
        self.on_train_start(trainer, pl_module)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Leaves the loop by an exception, as Lightning has no other way out of a prediction."""
        if self.requested:
            raise Interrupted

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == REQUEUE_SIGNAL:
            self.requeue = True  # it may come again, and would then end the process
        else:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
