"""Runs the training of an image GAN: `python -m ganverse.tasks.image_gan_training --run runs/gan`."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jsonargparse import auto_cli

from ganverse.data.world_cache import WorldImages
from ganverse.data.world_images import CachedImages
from ganverse.generators.stylegan2 import StyleGAN2Config
from ganverse.tasks.image_gan import ImageGANSettings, ImageGANTask
from ganverse.tasks.image_gan_export import Provenance, restore_export, write_export
from ganverse.training.devices import TrainerSettings
from ganverse.training.fit import StageRun, fit
from ganverse.training.image_gan_pictures import paint_gan


@dataclass(frozen=True)
class ImageGANRun:
    """A training of the image GAN on pictures of the car world.

    run: folder that receives checkpoints/, samples/, metrics.jsonl and export/; a training found there goes on.
    cache: uint8 .npy file of training images; rendered if it is missing. world: what the cache holds.
    images: real images the discriminator sees. minutes: second limit, or null.
    init_from: an exported state.safetensors to start from when there is nothing to resume.
    """

    run: Path = Path("runs/gan")
    cache: Path = Path("runs/cache/cars64.npy")
    world: WorldImages = field(default_factory=WorldImages)
    images: int = 320_000
    minutes: float | None = None
    init_from: Path | None = None
    architecture: StyleGAN2Config = field(default_factory=StyleGAN2Config)
    settings: ImageGANSettings = field(default_factory=ImageGANSettings)
    provenance: Provenance = field(default_factory=Provenance)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def train_image_gan(config: ImageGANRun) -> bool:
    """Trains until the budget is used up and exports the generator; False if somebody interrupted it."""
    torch.manual_seed(config.settings.seed)
    task = ImageGANTask(config.architecture, config.settings)
    if config.init_from is not None:
        restore_export(config.init_from, task)
    data = CachedImages(config.cache, config.settings.batch, config.settings.seed, content=config.world)
    run = StageRun(config.run, "image GAN", config.images, config.minutes)
    torch.set_flush_denormal(True)  # a CPU is many times slower on the tiny numbers of a saturated loss
    try:
        finished = fit(task, data, run, config.trainer, lambda _: paint_gan(task))
    finally:
        torch.set_flush_denormal(False)
    if task.global_rank == 0:
        write_export(config.run / "export", task, config.provenance)
    return finished


if __name__ == "__main__":
    train_image_gan(auto_cli(ImageGANRun, as_positional=False))
