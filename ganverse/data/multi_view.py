"""MultiViewStream: an endless multi-view data set that is made while training, on each process's own device."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.data.indices import IndexBatches, ResumableSamples
from ganverse.data.sampling import Sampler
from ganverse.masks.filtering import FilterCounts

VALIDATION_START = 2**40
"""Sample index of the first validation sample: far beyond any training run."""


class MultiViewStream(ResumableSamples):
    """The loader yields global sample indices; images and masks are made in `on_after_batch_transfer`.

    Training never ends (limit it by steps or images); it walks through the indices 0, 1, 2, ... on all processes
    together, whatever their number, and a resumed run continues behind the last one seen. Validation is
    `validation_samples` samples that training never sees. The generator lives in the sampler, not in any module, so it
    is in no checkpoint and not in DDP's parameters.

    batch_size: objects per process and step. counts, forced: images kept and rejected so far and samples kept although
    rejected, on this process, for logging.
    """

    def __init__(self, sampler: Sampler, batch_size: int = 16, validation_samples: int = 64) -> None:
        super().__init__(batch_size, sampler.fingerprint)
        self.sampler = sampler
        self.validation_samples = validation_samples
        self.counts = FilterCounts()
        self.forced = 0

    def train_dataloader(self) -> IndexBatches:
        """Indices from the first one not seen yet."""
        return self.training_indices()

    def val_dataloader(self) -> IndexBatches:
        """Every validation index once, split over the processes."""
        rank, world = self.rank_and_world
        stop = VALIDATION_START + self.validation_samples
        return IndexBatches(self.batch_size, VALIDATION_START, stop, rank, world)

    def on_after_batch_transfer(self, batch: Int[Tensor, " batch"], dataloader_idx: int) -> MultiViewBatch:
        """Indices on the device to a batch made there."""
        self.count_training_batch(batch)
        return self.make(batch)

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """The samples of these indices (also without a trainer), on `device` or where the indices are."""
        drawn = self.sampler.to(device or indices.device).draw(indices)
        self.counts = self.counts + drawn.counts
        self.forced += int(drawn.forced.sum())
        return drawn.batch
