"""Runs the training of an image GAN: `python -m ganverse.tasks.image_gan_training --data cars.npy --run runs/gan`."""

import math
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_lightning as pl
import torch
from jsonargparse import auto_cli
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from ganverse.data.world_images import CachedImages
from ganverse.generators.stylegan2 import StyleGAN2Config
from ganverse.tasks.image_gan import ImageGANSettings, ImageGANTask
from ganverse.tasks.image_gan_pictures import GANPictures
from ganverse.tasks.image_gan_snapshots import GANSnapshots, Provenance, restore_export


@dataclass(frozen=True)
class ImageGANRun:
    """A training run. It resumes from `run`/checkpoints/last.ckpt if that exists, else from `init_from` if given."""

    data: Path
    run: Path
    images: int = 320_000
    minutes: float = math.inf
    threads: int = 1
    init_from: Path | None = None
    picture_interval: int = 10_000
    snapshot_minutes: float = 10.0
    architecture: StyleGAN2Config = field(default_factory=StyleGAN2Config)
    settings: ImageGANSettings = field(default_factory=ImageGANSettings)
    provenance: Provenance = field(
        default_factory=lambda: Provenance("procedural car world of ganverse, 64 px", "Apache-2.0")
    )


class StopAtImages(pl.Callback):
    """Ends the training when enough images have been seen."""

    def __init__(self, images: int) -> None:
        self._images = images

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensor, batch_idx: int
    ) -> None:
        """Asks the trainer to stop."""
        assert isinstance(pl_module, ImageGANTask)
        if int(pl_module.images_seen) >= self._images:
            trainer.should_stop = True


def train_image_gan(config: ImageGANRun) -> None:
    """Trains until `images` real images have been seen (or `minutes` passed); writes everything below `config.run`."""
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(config.settings.seed)
    # the stream reads a memory map: worker processes would only take cores from the training
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    task = ImageGANTask(config.architecture, config.settings)
    checkpoint = config.run / "checkpoints" / "last.ckpt"
    if config.init_from is not None and not checkpoint.exists():
        restore_export(config.init_from, task)
    snapshots = GANSnapshots(config.run, config.provenance, config.snapshot_minutes)
    pictures = GANPictures(config.run / "samples", config.picture_interval, config.architecture.resolution)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-1,
        max_time=None if math.isinf(config.minutes) else {"minutes": config.minutes},
        callbacks=[snapshots, pictures, StopAtImages(config.images)],
        logger=CSVLogger(config.run, name="metrics"),
        log_every_n_steps=config.settings.log_interval,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    data = CachedImages(config.data, config.settings.batch, config.settings.seed)
    trainer.fit(task, data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    snapshots.write(trainer, task)
    pictures.write(task)


if __name__ == "__main__":
    train_image_gan(auto_cli(ImageGANRun, as_positional=False))
