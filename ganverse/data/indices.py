"""Assignment of sample indices to processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ganverse.batch import MultiViewBatch


@dataclass(frozen=True)
class IndexBatches:
    """Endless batches of global sample indices for one of `world` processes, without repeats or gaps.

    Batch b of the run holds the indices start + b * batch ... and belongs to rank b % world, so the processes together
    visit the indices in order.
    """

    batch: int
    start: int = 0
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[Int[Tensor, " batch"]]:
        first = self.start + self.rank * self.batch
        while True:
            yield torch.arange(first, first + self.batch)
            first += self.world * self.batch


@dataclass(frozen=True)
class EvenBatches:
    """`count` indices from `start`, once, as equally many batches of at most `batch` on every process.

    Processes also step together in validation (DDP), so the counts must match. If indices run out, the last one is
    repeated.
    """

    batch: int
    start: int
    count: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[Int[Tensor, " batch"]]:
        indices = torch.arange(self.start, self.start + self.count)
        for part in indices.tensor_split(max(len(self) * self.world, 1))[self.rank :: self.world][: len(self)]:
            yield part if len(part) else indices[-1:]

    def __len__(self) -> int:
        return -(-self.count // (self.batch * self.world))


class MadeBatches(IterableDataset[MultiViewBatch]):
    """The batches of `indices`, created in order by any number of loader processes."""

    def __init__(
        self, make: Callable[[Int[Tensor, " batch"]], MultiViewBatch], indices: IndexBatches | EvenBatches
    ) -> None:
        super().__init__()
        self._make, self._indices = make, indices

    def __iter__(self) -> Iterator[MultiViewBatch]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return map(self._make, islice(self._indices, first, None, step))
