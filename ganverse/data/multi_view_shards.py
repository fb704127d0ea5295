"""MultiViewShards: training from shards on disk, the same batches as from the stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ganverse.batch import MultiViewBatch
from ganverse.data.indices import EvenBatches, IndexBatches
from ganverse.data.multi_view import VALIDATION_START, MultiViewData
from ganverse.data.shards import ShardPlan, ShardReader, read_plan
from ganverse.data.sources import Source, open_source
from ganverse.errors import GanverseError


@dataclass
class SampleOrder:
    """Which stored sample stands at each index of an endless walk.

    Indices 0, 1, ... cover the `training` samples once per epoch: the first epoch in the order in which they were
    generated (random already, and that of the stream), each later one in an order of its own, a pure function of
    (seed, epoch). Indices from `VALIDATION_START` on are the samples after those.
    """

    training: int
    seed: int = 0

    def __post_init__(self) -> None:
        self._epoch, self._order = 0, np.arange(self.training)

    def __call__(self, indices: Int[Tensor, " batch"]) -> list[int]:
        """Stored samples at these indices."""
        return [self._sample(int(index)) for index in indices]

    def _sample(self, index: int) -> int:
        if index >= VALIDATION_START:
            return self.training + index - VALIDATION_START
        epoch, place = divmod(index, self.training)
        if epoch != self._epoch:
            self._epoch = epoch
            stream = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._order = np.arange(self.training) if epoch == 0 else stream.permutation(self.training)
        return int(self._order[place])


class ShardBatches(IterableDataset[MultiViewBatch]):
    """Decoded batches of one process, read by any number of loader workers without changing their order."""

    def __init__(self, reader: ShardReader, indices: IndexBatches | EvenBatches, order: SampleOrder) -> None:
        super().__init__()
        self._reader, self._indices, self._order = reader, indices, order

    def __iter__(self) -> Iterator[MultiViewBatch]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for count, indices in enumerate(self._indices):
            if count % workers == number:
                yield _at(indices, self._reader, self._order)


class MultiViewShards(MultiViewData):
    """Samples that `python train.py predict` has written: the first epoch is the stream itself, bit for bit.

    Args:
        folder: holds the shards and their manifest.
        batch_size: objects per process and step.
        validation_objects: how many samples at the end of the folder are kept out of training. Default: an eighth of
            all, at most 64.
        seed: of the order of the second and later epochs.
        num_workers: loader processes that decode images ahead.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 16,
        validation_objects: int | None = None,
        seed: int = 0,
        num_workers: int = 2,
    ) -> None:
        self.folder, self.seed, self.num_workers = Path(folder), seed, num_workers
        held_back = len(self.plan.held_back) if validation_objects is None else validation_objects
        super().__init__(batch_size, held_back)
        if self.plan.samples - held_back < batch_size:
            raise GanverseError(
                f"expected at least {batch_size} training samples in {folder}, got {self.plan.samples - held_back} "
                f"beside {held_back} held out; generate more or validate on fewer"
            )

    @cached_property
    def plan(self) -> ShardPlan:
        """What the manifest says."""
        return read_plan(self.folder)

    @cached_property
    def source(self) -> Source:
        """The generator behind the samples; what it needs (weights, view codes) must still be there."""
        return open_source(self.plan.source)

    @property
    def azimuth_degrees(self) -> tuple[float, ...]:
        """Of the view codes, as annotated when the samples were made."""
        return self.plan.azimuth_degrees

    @cached_property
    def resolution(self) -> int:
        """Of the stored images."""
        return self._reader.batch([0]).images.shape[-1]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the settings that the samples were made with, and their number."""
        return {"samples": f"{self.plan.fingerprint} in {self.plan.samples} samples"}

    def setup(self, stage: str) -> None:
        """Reads a first sample: what cannot be read should fail before any training."""
        self._reader.batch([0])

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """As in `MultiViewData`."""
        return _at(indices, self._reader, self._order).to(device or indices.device)

    def train_dataloader(self) -> DataLoader[MultiViewBatch]:
        """Endless decoded batches after the last sample seen."""
        return self._loader(super().train_dataloader())

    def val_dataloader(self) -> DataLoader[MultiViewBatch]:
        """The held-out samples once, split over the processes."""
        return self._loader(super().val_dataloader())

    @cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.plan)

    @property
    def _order(self) -> SampleOrder:
        return SampleOrder(self.plan.samples - self.validation_objects, self.seed)

    def _loader(self, indices: IndexBatches | EvenBatches) -> DataLoader[MultiViewBatch]:
        batches = ShardBatches(ShardReader(self.plan), indices, self._order)
        return DataLoader(batches, batch_size=None, num_workers=self.num_workers)


def _at(indices: Int[Tensor, " batch"], reader: ShardReader, order: SampleOrder) -> MultiViewBatch:
    """The samples at these places of the walk, numbered by them: in later epochs they are augmented anew."""
    return replace(reader.batch(order(indices)), sample_index=indices.cpu())
