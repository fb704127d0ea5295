"""Which samples a process works on, and how far a training run has come: the resumable half of every data source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.errors import GanverseError


@dataclass(frozen=True)
class IndexBatches:
    """Batches of global sample indices for one of `world` processes: nothing repeated, nothing skipped.

    Batch number b of the whole run holds the indices start + b * batch ..., and belongs to rank b % world, so together
    the processes walk through the indices in order. stop=None never ends (then there is no length).
    """

    batch: int
    start: int = 0
    stop: int | None = None
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[Int[Tensor, " batch"]]:
        first = self.start + self.rank * self.batch
        while self.stop is None or first < self.stop:
            last = first + self.batch if self.stop is None else min(first + self.batch, self.stop)
            yield torch.arange(first, last)
            first += self.world * self.batch

    def __len__(self) -> int:
        if self.stop is None:
            raise TypeError("an endless stream of samples has no length")
        batches = -(-(self.stop - self.start) // self.batch)
        return max(0, -(-(batches - self.rank) // self.world))


class ResumableSamples(pl.LightningDataModule):
    """Base of the data sources: counts the training samples seen by all processes together and resumes from there.

    fingerprint: a text that names everything a sample depends on; a checkpoint of another fingerprint is refused.
    """

    def __init__(self, batch_size: int, fingerprint: str) -> None:
        super().__init__()
        if batch_size < 1:
            raise GanverseError(f"expected a batch size of at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.fingerprint = fingerprint
        self.samples_seen = 0

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """This process's rank and the number of processes; (0, 1) without a trainer."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def training_indices(self) -> IndexBatches:
        """What this process trains on from here: without end, behind the last sample that any process has seen."""
        rank, world = self.rank_and_world
        return IndexBatches(self.batch_size, self.samples_seen, None, rank, world)

    def count_training_batch(self, batch: Int[Tensor, " batch"]) -> None:
        """Call once per batch that reaches the device: only those of training count, prefetched ones do not."""
        if self.trainer is not None and self.trainer.training:
            self.samples_seen += len(batch) * self.rank_and_world[1]

    def state_dict(self) -> dict[str, Any]:
        """How far training has come, for Lightning's checkpoints."""
        return {"samples_seen": self.samples_seen, "fingerprint": self.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue behind the last sample seen; GanverseError if the checkpoint was trained on other data."""
        if state_dict["fingerprint"] != self.fingerprint:
            raise GanverseError(
                f"expected to resume on the data of the checkpoint ({state_dict['fingerprint']}), got {self.fingerprint}; "
                "use the same generator, view codes and settings, or start a new run"
            )
        self.samples_seen = int(state_dict["samples_seen"])
