"""Sample images and meshes during training: always as files, also in Weights & Biases with its logger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from PIL import Image
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganverse.errors import AT_LEAST_1, GanverseError, brief, check_ranges
from ganverse.io import png_bytes, write_atomically
from ganverse.training.charts import drop_chart, metric_curves

Medium = Float[Tensor, "3 height width"] | Image.Image | bytes
"""An image tensor in [0, 1], a finished picture, or a mesh as GLB bytes."""


class SampleLogger(pl.Callback):
    """Writes samples/NAME-IMAGES.png (.glb) below the trainer's root at the start, at intervals, and at the end.

    Includes the module's `sample_media(batch)`, always of the same held-out objects, curves of all logged values, and
    the filter's statistics. With a `WandbLogger` they also appear under media/NAME.

    Args:
        every_n_train_steps: steps between two sets of media; 0 disables them.
        objects: number of held-out objects shown.
    """

    def __init__(self, every_n_train_steps: int = 500, objects: int = 8) -> None:
        check_ranges({"every_n_train_steps": every_n_train_steps, "objects": objects}, objects=AT_LEAST_1)
        self.every_n_train_steps, self.objects = every_n_train_steps, objects
        self._batch: object = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes media of the untrained (or resumed) networks."""
        preview = getattr(getattr(trainer, "datamodule", None), "preview", None)
        if preview is not None and self._active(trainer):
            self._batch = preview(self.objects)
        self.log_samples(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Writes media when the interval has passed."""
        if self.every_n_train_steps and (batch_idx + 1) % self.every_n_train_steps == 0:
            self.log_samples(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the final media, with averaged weights; Lightning has already moved the module off its device."""
        pl_module.to(trainer.strategy.root_device)
        self.log_samples(trainer, pl_module)
        pl_module.cpu()

    @torch.no_grad()
    def log_samples(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Writes all media now, on the first process only; the module keeps its mode."""
        sample_media = getattr(module, "sample_media", None)
        if not self._active(trainer) or sample_media is None:
            return
        training = module.training
        module.eval()
        media: dict[str, Medium] = dict(sample_media(self._batch))
        module.train(training)
        folder = Path(trainer.default_root_dir)
        curves = metric_curves(sorted(folder.glob("logs/*/metrics.csv"), key=lambda path: path.stat().st_mtime))
        media |= {} if curves is None else {"curves": curves}
        counts = getattr(getattr(trainer, "datamodule", None), "counts", None)
        media |= {} if counts is None or not counts.images else {"dropped": drop_chart(counts)}
        images = getattr(module, "images_seen", trainer.global_step)
        files = {name: save(medium, folder / "samples" / f"{name}-{images:09d}") for name, medium in media.items()}
        log_files({f"media/{name}": path for name, path in files.items()}, trainer)

    def _active(self, trainer: pl.Trainer) -> bool:
        return bool(self.every_n_train_steps) and trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False)


def save(medium: Medium, stem: Path) -> Path:
    """Writes `stem` with the suffix of the medium, and returns the path."""
    suffix, data = (".glb", medium) if isinstance(medium, bytes) else (".png", png_bytes(medium))
    path = stem.with_name(stem.name + suffix)
    write_atomically(path, data)
    return path


@contextlib.contextmanager
def wandb_explained() -> Iterator[None]:
    """Converts an error of the Weights & Biases client into one sentence.

    Raises:
        GanverseError: Weights & Biases cannot start.
    """
    import wandb  # only if its logger is used

    try:
        yield
    except (wandb.Error, ValueError) as error:
        raise GanverseError(
            f"expected Weights & Biases to start, got: {brief(error)}; run `wandb login`, or set WANDB_MODE=offline"
        ) from error


def start_wandb(loggers: Iterable[object]) -> None:
    """Starts the runs of all `WandbLogger`s early; errors as `wandb_explained`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with wandb_explained():
                logger.experiment  # noqa: B018


def log_files(files: Mapping[str, Path], trainer: pl.Trainer) -> None:
    """Uploads files (.png, .glb) to Weights & Biases by panel name, if the trainer has its logger."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            import wandb  # only if its logger is used

            kinds = {".png": wandb.Image, ".glb": wandb.Object3D}
            media = {name: kinds[path.suffix](str(path)) for name, path in files.items()}
            logger.experiment.log({**media, "trainer/global_step": trainer.global_step})
