"""Base class of the LightningModules: training counted in images, schedules, hyperparameters, fingerprints."""

from __future__ import annotations

import inspect
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import LRSchedulerConfigType
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import MultiViewData
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.training.diagnostics import NaNGuard
from ganverse.training.ema import EMA
from ganverse.training.media import Medium
from ganverse.training.progress import is_logged

_FROZEN = "frozen_weights"


class BaseTask(pl.LightningModule):
    """Base of the modules. Training ends after `images` images, counted over all processes.

    Subclasses call `count_images` in their training step, build their networks in `configure_model`, where the
    trainer's DataModule is available, and list the frozen weights they depend on in `fingerprints`.

    images: length of the training; schedules end there. ema_half_life: images in which the weight of a contribution to
    the running average halves; 0 disables the average.
    """

    compiled = False
    """Whether training runs the `compilable` networks through `torch.compile`; the command line's --compile."""
    has_idle_parameters = False
    """Whether some parameters get no gradient in some steps; sets DDP's find_unused_parameters."""

    def __init__(self, images: int, ema_half_life: float = 0.0) -> None:
        super().__init__()
        check_ranges({"images": images, "ema_half_life": ema_half_life}, images=AT_LEAST_1)
        self.images, self.ema_half_life = images, ema_half_life
        self.images_seen = 0

    def save_settings(self) -> None:
        """Calls `save_hyperparameters` for the calling __init__, with primitive values only."""
        frame = inspect.currentframe()
        self.save_hyperparameters(frame=None if frame is None else frame.f_back)
        # Lightning's way to build a module from primitive values, nested dataclasses included
        self.hparams.update(primitive(dict(self.hparams)))
        self.hparams.setdefault("_instantiator", "pytorch_lightning.cli.instantiate_module")

    @property
    def needs_views(self) -> bool:
        """Whether `configure_model` still has to build the module from the trainer's multi-view data."""
        return False

    @property
    def compilable(self) -> Sequence[nn.Module]:
        """Networks that take most of a step, with constant shapes and without second derivatives."""
        return ()

    @property
    def data(self) -> MultiViewData:
        """The trainer's multi-view DataModule.

        Raises:
            GanverseError: the trainer has no multi-view DataModule.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, MultiViewData):
            raise GanverseError(
                f"expected a multi-view DataModule (MultiViewStream, MultiViewShards, MultiViewFolder) for "
                f"{type(self).__name__}, got {type(data).__name__}; trainer.fit(model, datamodule=...)"
            )
        return data

    def count_images(self, images: int) -> None:
        """Adds the step's images on this process times the number of processes; stops after the last image."""
        self.images_seen += images * self.trainer.world_size
        if self.images_seen >= self.images:
            self.trainer.should_stop = True

    def log_step(
        self, values: Mapping[str, Tensor | float], batch_size: int = 1, bar: Mapping[str, Tensor] | None = None
    ) -> None:
        """Logs values of a training step and the images seen; bar: values for the progress bar.

        Never makes the host wait for a GPU: plain numbers would be uploaded, and Lightning reads the bar's values at
        once, so the bar is updated only when the trainer logs.
        """
        named = {**values, "images": float(self.images_seen)}
        tensors = {k: v if isinstance(v, Tensor) else torch.full((), v, device=self.device) for k, v in named.items()}
        self.log_dict(tensors, batch_size=batch_size)
        if bar is not None and is_logged(self.trainer, self.trainer.global_step):
            self.log_dict(bar, prog_bar=True, logger=False, batch_size=batch_size)

    def on_train_start(self) -> None:
        """Stops at once if a checkpoint already holds the complete training; compiles the networks on request.

        Raises:
            GanverseError: there is no C++ compiler, which `torch.compile` needs.
        """
        if self.images_seen >= self.images:
            self.trainer.should_stop = True
        compiler = os.environ.get("CXX", "g++")
        if self.compiled and shutil.which(compiler) is None:
            raise GanverseError(f"expected a C++ compiler for --compile, found no {compiler}; install it or omit it")
        for network in self.compilable if self.compiled else ():
            network.compile()  # in place: parameters and checkpoints keep their names

    def schedule(
        self, optimizer: torch.optim.Optimizer, factors: Sequence[Callable[[int], float]]
    ) -> LRSchedulerConfigType:
        """A learning-rate scheduler: one factor per parameter group, as a function of the images seen."""

        def follow(factor: Callable[[int], float]) -> Callable[[int], float]:
            return lambda _: factor(self.images_seen)

        functions = [follow(factor) for factor in factors]
        return {"scheduler": LambdaLR(optimizer, functions), "interval": "step", "frequency": 1}

    def configure_callbacks(self) -> list[pl.Callback]:
        """The EMA of the weights, and the NaN guard.

        Raises:
            GanverseError: the module needs multi-view data, and the trainer has other data. Lightning calls this hook
                before it prepares any data.
        """
        if self.needs_views:
            self.data  # noqa: B018
        return [NaNGuard(), *([EMA(self.ema_half_life)] if self.ema_half_life else [])]

    def fingerprints(self) -> dict[str, str]:
        """sha256 of the frozen weights and of the data that training depends on, by name."""
        data = getattr(self._trainer, "datamodule", None) if self._trainer is not None else None
        return dict(getattr(data, "fingerprints", {}))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the counts and fingerprints; frozen networks are not saved."""
        checkpoint["images_seen"] = self.images_seen
        checkpoint[_FROZEN] = self.fingerprints()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses to resume with frozen weights or data other than those in the checkpoint.

        Raises:
            GanverseError: the fingerprints differ.
        """
        self.images_seen = int(checkpoint["images_seen"])
        found = self.fingerprints()
        for name, expected in checkpoint[_FROZEN].items():
            if found.get(name, expected) != expected:
                raise GanverseError(
                    f"expected {name} {expected[:20]} as in the checkpoint, got {found[name][:20]}; "
                    "restore it, or start a new run"
                )

    def sample_media(self, batch: MultiViewBatch | None) -> Mapping[str, Medium]:
        """Named images, meshes and tables from the module's current state; batch: always the same held-out objects."""
        return {}


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 over a progress of 0 to 1; clamped outside."""
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def primitive(value: Any) -> Any:
    """Settings as YAML types: mappings, lists, strings, numbers, None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): primitive(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [primitive(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value
