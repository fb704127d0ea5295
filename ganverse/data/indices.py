"""Which samples a process works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


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
