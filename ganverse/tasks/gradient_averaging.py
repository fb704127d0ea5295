"""Means over processes, for tasks that step several optimizers by hand and average their gradients themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def average_gradients(parameters: Sequence[Tensor], processes: int) -> None:
    """Replaces every gradient by its mean over the processes.

    A parameter that no process has a gradient for keeps none: a zero would make Adam count a step for a layer that is
    not in use yet. One that only some processes lack counts as zero there.
    """
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    dist.all_reduce(present)
    used = [p for p, count in zip(parameters, present.tolist(), strict=True) if count]
    for parameter in used:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    average_over_processes([p.grad for p in used if p.grad is not None], processes)


def average_over_processes(tensors: list[Tensor], processes: int) -> None:
    """Replaces every tensor by its mean over the processes."""
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= processes
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
