"""ShardDataModule: training from shards on disk, the same batches as from the stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ganverse.data.batch import MultiViewBatch
from ganverse.data.indices import IndexBatches, ResumableSamples
from ganverse.data.shards import ShardPlan, ShardReader, read_plan
from ganverse.errors import GanverseError


@dataclass(frozen=True)
class SampleOrder:
    """Which sample stands at each position of an endless walk: positions 0, 1, ... cover the samples once per epoch.

    The first epoch takes them in the order in which they were generated (random already, and that of the stream), each
    later one in an order of its own, a pure function of (seed, epoch).
    """

    samples: int
    seed: int = 0

    def __call__(self, positions: Int[Tensor, " batch"]) -> list[int]:
        """Samples at these positions."""
        orders = {epoch: self._epoch(epoch) for epoch in {int(p) // self.samples for p in positions}}
        return [int(orders[int(p) // self.samples][int(p) % self.samples]) for p in positions]

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch == 0:
            return np.arange(self.samples)
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.samples)


class ShardBatches(IterableDataset):
    """Decoded batches of one process, read by any number of loader workers without changing their order."""

    def __init__(self, plan: ShardPlan, positions: IndexBatches, order: SampleOrder) -> None:
        super().__init__()
        self.positions = positions
        self.order = order
        self.reader = ShardReader(plan)

    def __iter__(self) -> Iterator[MultiViewBatch]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for count, positions in enumerate(self.positions):
            if count % workers == number:
                yield self.reader.batch(self.order(positions))


class ShardDataModule(ResumableSamples):
    """Shards behind the same interface as `MultiViewStream`: the first epoch is the stream itself, bit for bit.

    folder: holds the shards and their manifest. validation_samples: how many samples at the end of the folder are kept
    out of training. workers: loader processes that decode PNG files ahead.
    """

    def __init__(
        self, folder: str | Path, batch_size: int = 16, validation_samples: int = 64, *, seed: int = 0, workers: int = 0
    ) -> None:
        self.plan = read_plan(Path(folder))
        super().__init__(batch_size, f"{self.plan.fingerprint} in {self.plan.samples} samples")
        self.workers = workers
        training = self.plan.samples - validation_samples
        if training < batch_size:
            raise GanverseError(
                f"expected at least {batch_size} training samples in {folder}, got {training} beside "
                f"{validation_samples} for validation; generate more or validate on fewer"
            )
        ShardReader(self.plan).batch([0])  # what cannot be read should fail before any training
        self.order = SampleOrder(training, seed)

    def train_dataloader(self) -> DataLoader:
        """Endless batches behind the last sample seen."""
        return self._loader(self.training_indices(), self.order)

    def val_dataloader(self) -> DataLoader:
        """The validation samples once, split over the processes."""
        rank, world = self.rank_and_world
        positions = IndexBatches(self.batch_size, self.order.samples, self.plan.samples, rank, world)
        return self._loader(positions, SampleOrder(self.plan.samples))

    def on_after_batch_transfer(self, batch: MultiViewBatch, dataloader_idx: int) -> MultiViewBatch:
        """Counts the batch; it is complete already."""
        self.count_training_batch(batch.sample_index)
        return batch

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """The samples of these indices, on `device` or where the indices are."""
        return ShardReader(self.plan).batch(indices.tolist()).to(device or indices.device)

    def _loader(self, positions: IndexBatches, order: SampleOrder) -> DataLoader:
        return DataLoader(ShardBatches(self.plan, positions, order), batch_size=None, num_workers=self.workers)
