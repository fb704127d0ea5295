"""MultiViewShards: reads samples from shards, with the same batches as the stream."""

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
    """Maps indices of an endless walk to stored samples.

    Indices 0, 1, ... visit the `training` samples once per epoch: the first epoch in the order of generation (the
    stream's order), each later one in a random order that depends on (seed, epoch). Indices from `VALIDATION_START` on
    are the samples after the training samples.
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
    """Samples written by `python train.py predict`; the first epoch equals the stream bit for bit.

    Args:
        folder: contains the shards and their manifest.
        batch_size: objects per process and step.
        validation_objects: number of held-out samples, the last in the folder. Default: an eighth, at most 64.
        seed: of the order of the second and later epochs.
        num_workers: loader processes that decode batches ahead; 0 decodes between steps.
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
                f"besides {held_back} held out; generate more, or lower validation_objects"
            )

    @cached_property
    def plan(self) -> ShardPlan:
        """The plan in the manifest."""
        return read_plan(self.folder)

    @cached_property
    def source(self) -> Source:
        """The generator of the samples; its weights and view codes must still exist."""
        return open_source(self.plan.source)

    @property
    def azimuth_degrees(self) -> tuple[float, ...]:
        """Annotated azimuths of the view codes when the samples were made."""
        return self.plan.azimuth_degrees

    @cached_property
    def resolution(self) -> int:
        """Size of the stored images."""
        return self._reader.batch([0]).images.shape[-1]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hash of the sampling settings, and the number of samples."""
        return {"samples": f"{self.plan.fingerprint} in {self.plan.samples} samples"}

    def setup(self, stage: str) -> None:
        """Reads the first sample, so that unreadable shards are reported before training."""
        self._reader.batch([0])

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """See `MultiViewData.make`."""
        batch = self._reader.batch(self._order(indices))
        # numbered by position in the walk, so that later epochs get new augmentations
        return replace(batch, sample_index=indices.cpu()).to(device or indices.device)

    @cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.plan)

    @cached_property
    def _order(self) -> SampleOrder:
        return SampleOrder(self.plan.samples - self.validation_objects, self.seed)
