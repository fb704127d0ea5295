"""Training is counted in images seen by all processes together, so the number of devices does not change a schedule."""

from __future__ import annotations

import pytorch_lightning as pl
import torch

from ganverse.errors import GanverseError


def images_seen(task: pl.LightningModule) -> int:
    """The task's own count: its buffer `images_seen` (0-dimensional, long), which the checkpoints therefore hold.

    Every task adds to it in its training step: images of one step times the number of processes.
    """
    count = getattr(task, "images_seen", None)
    if not isinstance(count, torch.Tensor):
        raise GanverseError(f"expected {type(task).__name__} to count images in a buffer `images_seen`, it has none")
    return int(count)


def agreed(trainer: pl.Trainer, decision: bool) -> bool:
    """Whether any process decided so; processes whose clocks differ must save and stop together."""
    return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))
