"""Multiple processes: gathering rows with gradients, averaging tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def processes() -> int:
    """Number of processes; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag of any process is set; every process must take part and waits. device: of the backend."""
    if processes() == 1:
        return flag
    found = torch.tensor(int(flag), device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def all_gather(own: Shaped[Tensor, "batch *rest"]) -> Shaped[Tensor, "rows *rest"]:
    """Concatenates the rows of all processes (the same number from each) in the order of their ranks.

    Gradients, also second-order ones, flow back to the process that owns a row. Every process must call it.
    """
    if processes() == 1:
        return own
    rows: Tensor = _Gather.apply(own)
    return rows


def rows_of_groups(x: Float[Tensor, "batch *rest"], group: int) -> tuple[Float[Tensor, "rows *rest"], int]:
    """`discriminator.Neighbors` for several processes: own rows if their groups are complete, else all rows."""
    count, own = processes(), len(x)
    if own % math.gcd(own * count, group) == 0:
        return x, 0
    return all_gather(x), dist.get_rank() * own


class _Gather(torch.autograd.Function):
    """[own] -> [all]; the gradient is summed over the processes for the own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        own: Tensor = _SumOfOwn.apply(gradients[0])
        return own


class _SumOfOwn(torch.autograd.Function):
    """[all] on every process -> own rows of their sum: the transpose of `_Gather`, whose gradient is `_Gather`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        total = rows.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        rows: Tensor = _Gather.apply(gradients[0])
        return rows


def average_over_processes(tensors: list[Tensor], processes: int) -> None:
    """Replaces every tensor by its mean over the processes; shapes must match."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= processes
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
