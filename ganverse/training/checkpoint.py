"""Checkpoints at time intervals and on interruption."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from ganverse.distributed import any_process
from ganverse.io import write_atomically
from ganverse.training.progress import is_logged

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_REQUEUE = signal.SIGUSR1
_ASKED = 10
"""Steps between two in which processes ask each other for signals."""


class _AtomicCheckpointIO(TorchCheckpointIO):
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class TimedCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, also on interruption, and with `train_time_interval` also under manual optimization.

    After SIGINT, SIGTERM or SLURM's SIGUSR1 the training saves and ends: after the current step, with several processes
    within 10 steps. A second signal, or one before the first step, ends it at once. With Lightning's own handlers
    processes may end at different steps.

    The clock is checked when the trainer logs, because all processes then wait for the first one.
    """

    _signal: int | None = None
    _requeue: Any = None
    _stepping = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Makes checkpoints atomic; Lightning moves them from the temporary folder, possibly across disks."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = _AtomicCheckpointIO()

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces Lightning's signal handlers; Lightning restores the original ones at the end."""
        if threading.current_thread() is threading.main_thread():
            requeue = signal.getsignal(_REQUEUE)
            self._requeue = requeue if requeue != self._note else self._requeue
            for number in _SIGNALS:
                if callable(signal.getsignal(number)):  # SIGUSR1 has a handler only under SLURM
                    signal.signal(number, self._note)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replaces the handlers if there is no sanity check."""
        super().on_train_start(trainer, pl_module)
        self.on_sanity_check_start(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From the first step on, signals wait for a checkpoint."""
        self._stepping = not getattr(trainer, "fast_dev_run", False)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when the interval has passed or a signal has arrived."""
        if getattr(trainer, "fast_dev_run", False):
            return
        interval = self._train_time_interval
        if interval is None or (is_logged(trainer, batch_idx) and pl_module.automatic_optimization):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        elif is_logged(trainer, batch_idx) and trainer.strategy.broadcast(
            time.monotonic() - (self._last_time_checked or 0) >= interval.total_seconds()
        ):
            self._last_time_checked = time.monotonic()
            self._save(trainer)
        # A collective makes the host wait for its GPU, so several processes ask each other seldom.
        between = trainer.accumulate_grad_batches * (1 if trainer.world_size == 1 else _ASKED)
        if (batch_idx + 1) % between == 0:
            self._end_if_interrupted(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Like Lightning's, but saves nothing for `fast_dev_run`."""
        if not getattr(trainer, "fast_dev_run", False):
            super().on_train_end(trainer, pl_module)
            self._end_if_interrupted(trainer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None or not self._stepping:
            signal.default_int_handler(number, frame)
        self._signal = number
        # print is not safe in signal handlers
        os.write(2, b"\nsaving soon; interrupt again to stop at once\n")

    def _end_if_interrupted(self, trainer: pl.Trainer) -> None:
        device = trainer.strategy.root_device
        if not any_process(self._signal is not None, device):
            return
        self._save(trainer)
        if not any_process(self._signal == _REQUEUE, device):
            raise KeyboardInterrupt
        self._signal = None
        self._requeue(_REQUEUE, None)  # Lightning's handler: requeues the SLURM job

    def _save(self, trainer: pl.Trainer) -> None:
        if self._last_global_step_saved != trainer.global_step:
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)
