"""Which objects this process evaluates; alone it evaluates all of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor, distributed


def rank_and_processes() -> tuple[int, int]:
    """(0, 1) without torch.distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gathering_device() -> str:
    """Where numbers must lie to be gathered from all processes, wherever they come from: NCCL knows GPUs only."""
    together = distributed.is_available() and distributed.is_initialized()
    return "cuda" if together and distributed.get_backend() == "nccl" else "cpu"


def own_batches(count: int, batch: int) -> Iterator[Int[Tensor, " batch"]]:
    """Every `processes`-th of the batches that one process would make of the objects 0 .. count - 1; maybe none.

    Whole batches: the last digits of what a network says about an object may depend on the objects beside it, and the
    numbers of an evaluation must not depend on the number of processes.
    """
    rank, processes = rank_and_processes()
    yield from torch.arange(count).split(batch)[rank::processes]
