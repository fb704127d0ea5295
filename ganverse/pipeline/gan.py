"""Stage `gan`: trains an image GAN on pictures of the car world; hours, so not part of the pipeline."""

from __future__ import annotations

from dataclasses import replace

from ganverse.errors import GanverseError
from ganverse.pipeline.run_directory import StageFolder
from ganverse.tasks.image_gan_training import ImageGANRun, train_image_gan
from ganverse.training.devices import is_first_process

STAGE = "gan"


def train_gan(config: ImageGANRun) -> bool:
    """Runs or continues the stage below RUN/gan; False if it was interrupted.

    Raises:
        GanverseError: what it should start from is missing, or the run began with other settings.
    """
    if config.init_from is not None and not config.init_from.is_file():
        raise GanverseError(f"expected an exported state at {config.init_from}, found none; correct --init_from")
    folder = StageFolder(config.run / STAGE)
    folder.begin(config, {})
    if folder.finished:
        return True
    if not train_image_gan(replace(config, run=folder.path)):
        return False
    if is_first_process():
        folder.finish({"images": config.images, "weights": "export/generator.safetensors"})
    folder.wait()
    return True
