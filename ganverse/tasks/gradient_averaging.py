"""Data-parallel training of tasks that DDP cannot wrap: several optimisers, several backward passes a step."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor


class UnwrappedDDP(DDPStrategy):
    """DDP's processes without DDP's module: weights start equal, `GradientAveraging` keeps them so."""

    def configure_ddp(self) -> None:
        """Gives every process the weights and buffers of the first one."""
        assert self.model is not None
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)


class GradientAveraging(pl.Callback):
    """Averages the gradients of an optimizer's parameters over all processes just before its step."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """One all-reduce of all gradients together; parameters without a gradient take part with zeros."""
        if trainer.world_size == 1:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        average_over_processes([p.grad for p in parameters if p.grad is not None], trainer.world_size)


def average_over_processes(tensors: list[Tensor], processes: int) -> None:
    """Replaces every tensor by its mean over the processes."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= processes
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
