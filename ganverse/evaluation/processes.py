"""Which objects this process evaluates; alone it evaluates all of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor, distributed

from ganverse.errors import GanverseError


def rank_and_processes() -> tuple[int, int]:
    """(0, 1) without torch.distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def own_batches(count: int, batch: int) -> Iterator[Int[Tensor, " batch"]]:
    """Every `processes`-th of the objects 0 .. count - 1, at most `batch` at a time.

    Raises:
        GanverseError: fewer objects than processes, which would leave some without any.
    """
    rank, processes = rank_and_processes()
    if count < processes:
        raise GanverseError(
            f"expected at least one object per process ({processes}), got {count}: evaluate more objects"
        )
    yield from torch.arange(rank, count, processes).split(batch)
