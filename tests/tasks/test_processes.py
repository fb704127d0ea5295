"""One process, two and four train to the same weights: batches of 8, 4 and 2 objects each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import MultiViewStream
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.tasks import inverse_graphics
from ganverse.tasks.disentanglement import Disentanglement
from ganverse.tasks.inverse_graphics import PerceptualSettings
from ganverse.training.checkpoint import TimedCheckpoint
from tests.tasks import gan_toys, toys

STEPS, OBJECTS = 5, 8
Trained = dict[str, torch.Tensor]


class DoubleStream(MultiViewStream):
    """The stream's batches in float64, so that the order of sums does not matter."""

    def on_after_batch_transfer(self, batch: torch.Tensor, dataloader_idx: int) -> MultiViewBatch:
        made = super().on_after_batch_transfer(batch, dataloader_idx)
        return replace(made, images=made.images.double(), masks=made.masks.double(), styles=made.styles.double())


class DoubleDisentanglement(Disentanglement):
    """With frozen networks in float64, once they have served in their own precision."""

    def on_fit_start(self) -> None:
        super().on_fit_start()
        for network in self.networks.networks():
            network.double()


class Keep(pl.Callback):
    """Writes the weights of every process to `folder`; what Lightning hands back has been rounded to float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt")


class Collectives(pl.Callback):
    """Counts in every step what all processes wait for, besides DDP and Lightning's own word about SIGTERM."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.steps = folder, 0, list[int]()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:  # a forked process, which ends with the training
            for name in ("all_reduce", "all_gather", "broadcast", "broadcast_object_list", "barrier"):
                setattr(dist, name, self._counted(getattr(dist, name)))

    def _counted(self, collective: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            self.now += sys._getframe(1).f_code.co_name != "_broadcast_sigterm_tensor"
            return collective(*args, **kwargs)

        return call

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self.steps.append(self.now)
        self.now = 0

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (self.folder / f"collectives-{trainer.world_size}.json").write_text(json.dumps(self.steps))


def train(
    module: pl.LightningModule, data: pl.LightningDataModule, processes: int, folder: Path, *, idle: bool = False
) -> Trained:
    """The weights after five steps in float64, in which only mistakes make a difference."""
    several = DDPStrategy(process_group_backend="gloo", start_method="fork", find_unused_parameters=idle)
    trainer = toys.trainer(
        folder,
        devices=processes,
        strategy=several if processes > 1 else "auto",
        precision="64-true",
        max_epochs=1,
        limit_train_batches=STEPS,
        limit_val_batches=0,
        callbacks=[Keep(folder), Collectives(folder), TimedCheckpoint(folder, train_time_interval=timedelta(hours=1))],
        enable_checkpointing=True,
    )
    trainer.fit(module, datamodule=data)
    ranks = [torch.load(folder / f"{processes}-{rank}.pt", weights_only=True) for rank in range(processes)]
    assert all(torch.equal(value, rank[name]) for rank in ranks for name, value in ranks[0].items())
    return ranks[0]


def gan(processes: int, folder: Path, files: toys.Files) -> Trained:
    data = gan_toys.images(folder / f"{processes}.npy", batch_size=gan_toys.BATCH // processes)
    return train(gan_toys.module(), data, processes, folder)


def inverse(processes: int, folder: Path, files: toys.Files) -> Trained:
    """Half of the renders are compared perceptually; a camera survey moves cameras before the third step."""
    survey = SurveyPlan(at=(0.0,), after=0, pictures_per_view=2, turns=3, certainty=0.0)
    module = toys.inverse(
        images=1000,
        perceptual=PerceptualSettings(start=0.0, renders=2 * OBJECTS // processes),
        survey=survey,
        ema_half_life=40.0,
    )
    trained = train(module, toys.stream(files, OBJECTS // processes, DoubleStream), processes, folder)
    turned = trained["cameras.azimuth"].rad2deg() - torch.tensor(toys.AZIMUTHS)
    assert int(trained["survey._extra_state"][0]) == 1
    assert turned.abs().max() > 45, "the survey has moved a camera"
    return trained


def disentanglement(processes: int, folder: Path, files: toys.Files) -> Trained:
    """Two steps of warm-up, then fine-tuning; without the spread, for which the GAN works in its own precision."""
    settings = replace(toys.SHORT, warm_up_images=32, fine_tune_images=1000, keep_spread=0.0)
    module = toys.disentanglement(files, settings, DoubleDisentanglement, ema_half_life=40.0)
    return train(module, toys.stream(files, OBJECTS // processes, DoubleStream), processes, folder, idle=True)


# collectives: in a step with groups of scenes and samples that are whole on every process. The GAN averages its two
# gradients itself; the cameras' survey gathers. Every tenth step has one more: whether a signal came.
@pytest.mark.parametrize(("stage", "collectives"), [(gan, 2), (inverse, 1), (disentanglement, 0)])
def test_the_number_of_processes_changes_nothing(
    stage: Callable[[int, Path, toys.Files], Trained],
    collectives: int,
    files: toys.Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inverse_graphics, "PerceptualDistance", toys.PlainDistance)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # as the command line does; DDP then seeds anew
    alone = stage(1, tmp_path, files)
    for processes in (2, 4):
        gaps = toys.differences(stage(processes, tmp_path, files), alone)
        print(f"{stage.__name__}: {processes} processes, largest difference {max(gaps.values(), default=0):.1e}")
        assert {name: value for name, value in gaps.items() if value > 1e-6} == {}
    assert max(json.loads((tmp_path / "collectives-2.json").read_text())) == collectives
