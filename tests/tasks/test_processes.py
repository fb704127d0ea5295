"""One process, two and four train to the same weights: batches of 8, 4 and 2 objects each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy

from ganverse.data.world_images import CachedImages
from ganverse.training.fit import without_advice
from tests.tasks import gan_toys, stage_toys

STEPS = 5
Trained = dict[str, torch.Tensor]


class Keep(pl.Callback):
    """Writes the weights of every process to `folder`; what Lightning hands back has been rounded to float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


def train(
    task: pl.LightningModule, data: pl.LightningDataModule, processes: int, folder: Path, *, idle: bool = False
) -> Trained:
    """The weights after five steps in float64, in which only mistakes make a difference."""
    several = DDPStrategy(process_group_backend="gloo", start_method="fork", find_unused_parameters=idle)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=several if processes > 1 else "auto",
        precision="64-true",
        max_epochs=1,
        limit_train_batches=STEPS,
        callbacks=[Keep(folder)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    with without_advice():
        trainer.fit(task, data)
    ranks = [torch.load(folder / f"{processes}-{rank}.pt", weights_only=True) for rank in range(processes)]
    assert all(torch.equal(value, rank[name]) for rank in ranks for name, value in ranks[0].items())
    return ranks[0]


def gan(processes: int, folder: Path) -> Trained:
    batch = gan_toys.BATCH // processes
    images = gan_toys.toy_images(folder / f"{processes}.npy")
    return train(gan_toys.toy_task(batch), CachedImages(images, batch), processes, folder)


def inverse(processes: int, folder: Path) -> Trained:
    data = stage_toys.stream(stage_toys.OBJECTS // processes)
    trained = train(stage_toys.inverse_task(processes), data, processes, folder)
    turned = trained["cameras.azimuth"].rad2deg() - torch.tensor(stage_toys.AZIMUTHS)
    assert int(trained["survey.finished"]) == 1
    assert turned.abs().max() > 45, "the survey has moved a camera"
    return trained


def disentangle(processes: int, folder: Path) -> Trained:
    data = stage_toys.stream(stage_toys.OBJECTS // processes)
    return train(stage_toys.disentangle_task(processes), data, processes, folder, idle=True)


@pytest.mark.parametrize("stage", [gan, inverse, disentangle])
def test_the_number_of_processes_changes_nothing(stage: Callable[[int, Path], Trained], tmp_path: Path) -> None:
    alone = stage(1, tmp_path)
    for processes in (2, 4):
        together = stage(processes, tmp_path)
        gap = {
            name: float((together[name].double() - value.double()).abs().max())
            for name, value in alone.items()
            if value.numel()  # found views are an empty table where none are looked for
        }
        print(f"{stage.__name__}: {processes} processes, largest difference {max(gap.values()):.1e}")
        assert {name: value for name, value in gap.items() if value > 1e-6} == {}
