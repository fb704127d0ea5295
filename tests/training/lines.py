"""A module of two numbers that counts images as the trainings do, and its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

BATCH = 4


class Line(pl.LightningModule):
    """Fits y = 2 x. images: of the whole training."""

    def __init__(self, *, two_optimizers: bool = False, images: int = 10**6) -> None:
        super().__init__()
        self.slope = nn.Linear(1, 1)
        nn.init.zeros_(self.slope.weight)
        nn.init.zeros_(self.slope.bias)
        self.automatic_optimization = not two_optimizers
        self.images, self.images_seen = images, 0

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        if self.automatic_optimization:
            return [torch.optim.Adam(self.parameters(), 0.1)]
        return [torch.optim.Adam([p], 0.1) for p in self.parameters()]

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor | None:
        loss = (self.slope(batch) - 2 * batch).square().mean()
        self.images_seen += len(batch)
        self.log_dict({"loss": loss.detach(), "images": float(self.images_seen)}, prog_bar=True)
        if self.automatic_optimization:
            return loss
        optimizers = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        return None

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        self.log("val/slope", self.slope.weight.sum())

    def sample_media(self, batch: object) -> Mapping[str, Tensor]:
        assert not self.training
        return {"slope": self.slope.weight.detach().clamp(0, 1).expand(3, 8, 8)}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["images_seen"] = self.images_seen

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.images_seen = checkpoint["images_seen"]


class Numbers(pl.LightningDataModule):
    """Batch i is a pure function of i and starts behind the images seen."""

    def train_dataloader(self) -> _Batches:
        return _Batches(self.trainer.lightning_module.images_seen)

    def val_dataloader(self) -> list[Tensor]:
        return [torch.ones(1, 1)]


class _Batches:
    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[Tensor]:
        i = self.first
        while True:
            yield torch.randn(BATCH, 1, generator=torch.Generator().manual_seed(i))
            i += BATCH
