"""Processes that torchrun or srun has started, working on one task without a Trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from ganverse.training.cluster import launched


@contextmanager
def together() -> Iterator[None]:
    """Makes them know each other for a while (NCCL on GPUs, one per process, else gloo); alone this does nothing."""
    launch = launched()
    if dist.is_initialized() or launch is None or launch.per_node * launch.nodes == 1:
        yield
        return
    environment = SLURMEnvironment(auto_requeue=False) if launch.by == "srun" else TorchElasticEnvironment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    if torch.cuda.is_available():
        torch.cuda.set_device(environment.local_rank())
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, rank=environment.global_rank(), world_size=environment.world_size())
    try:
        yield
    finally:
        dist.destroy_process_group()
