"""MultiViewShards: training from shards on disk, the same batches as from the stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START, MultiViewFiles
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
        return [self._sample(index) for index in indices.tolist()]

    def _sample(self, index: int) -> int:
        if index >= VALIDATION_START:
            return self.training + index - VALIDATION_START
        epoch, place = divmod(index, self.training)
        if epoch != self._epoch:
            self._epoch = epoch
            stream = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._order = np.arange(self.training) if epoch == 0 else stream.permutation(self.training)
        return int(self._order[place])


class MultiViewShards(MultiViewFiles):
    """Samples that `python train.py predict` has written: the first epoch is the stream itself, bit for bit.

    Args:
        folder: holds the shards and their manifest.
        batch_size: objects per process and step.
        validation_objects: how many samples at the end of the folder are kept out of training. Default: an eighth of
            all, at most 64.
        seed: of the order of the second and later epochs.
        num_workers: loader processes that decode batches ahead; 0 decodes them between the steps.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 16,
        validation_objects: int | None = None,
        seed: int = 0,
        num_workers: int = 2,
    ) -> None:
        self.folder, self.seed = Path(folder), seed
        held_back = len(self.plan.held_back) if validation_objects is None else validation_objects
        super().__init__(batch_size, held_back, num_workers)
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
        batch = self._reader.batch(self._order(indices))
        # numbered by their place in the walk: in later epochs they are augmented anew
        return replace(batch, sample_index=indices.cpu()).to(device or indices.device)

    @cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.plan)

    @cached_property
    def _order(self) -> SampleOrder:
        return SampleOrder(self.plan.samples - self.validation_objects, self.seed)
