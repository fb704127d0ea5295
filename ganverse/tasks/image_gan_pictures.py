"""Pictures of a GAN in training: samples and style mixing, with fixed codes."""

import os
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.tasks.image_gan import GrowthState, ImageGANTask


class GANPictures(pl.Callback):
    """Writes `samples-*.png` and `mixing-*.png` of the averaged generator every `interval` images.

    Mixing: rows are objects, columns are view codes, which replace the first `view_layers` layers.
    """

    def __init__(self, folder: Path, interval: int = 10_000, size: int = 64) -> None:
        self._folder = folder
        self._interval = interval
        self._size = size

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensor, batch_idx: int
    ) -> None:
        """Paints when a multiple of the interval has been passed."""
        assert isinstance(pl_module, ImageGANTask)
        seen = int(pl_module.images_seen)
        if seen // self._interval > (seen - len(batch)) // self._interval:
            self.write(pl_module)

    @torch.no_grad()
    def write(self, task: ImageGANTask) -> None:
        """Writes both pictures for the present state of the task."""
        state = task.growth()
        name = f"{int(task.images_seen):08d}.png"
        self._save(paint_samples(task, state, 64), f"samples-{name}")
        self._save(paint_mixing(task, state, rows=8, columns=8), f"mixing-{name}")

    def _save(self, images: Float[Tensor, "count 3 side side"], name: str) -> None:
        zoomed = F.interpolate(images, scale_factor=max(1, self._size // images.shape[-1]), mode="nearest")
        side = zoomed.shape[-1]
        table = zoomed.view(8, 8, 3, side, side).permute(0, 3, 1, 4, 2).reshape(8 * side, 8 * side, 3)
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{name}"
        Image.fromarray(table.mul(255).round().byte().cpu().numpy()).save(temporary, format="PNG")
        os.replace(temporary, self._folder / name)


def paint_samples(task: ImageGANTask, state: GrowthState, count: int) -> Float[Tensor, "count 3 side side"]:
    """Samples of the averaged generator with noise, in [0, 1]; the same codes on every call."""
    generator = task.generator_average
    styles = generator.styles(generator.map(_codes(task, count, 1)), state.resolution)
    noise = generator.noise(count, seed=3, resolution=state.resolution)
    return _unit(generator.paint(styles, noise, resolution=state.resolution, fade=state.fade))


def paint_mixing(
    task: ImageGANTask, state: GrowthState, rows: int, columns: int
) -> Float[Tensor, "rows*columns 3 side side"]:
    """Row-major table of mixed samples without noise, in [0, 1]: object of the row, view code of the column."""
    generator = task.generator_average
    layers = 2 * (state.resolution.bit_length() - 2)
    content = generator.map(_codes(task, rows, 1)).repeat_interleave(columns, dim=0)
    view = generator.map(_codes(task, columns, 2)).repeat(rows, 1)
    by_view = torch.arange(layers, device=task.device)[None, :, None] < generator.view_layers
    styles = generator.styles(torch.where(by_view, view[:, None], content[:, None]), state.resolution)
    return _unit(generator.paint(styles, resolution=state.resolution, fade=state.fade))


def _codes(task: ImageGANTask, count: int, seed: int) -> Float[Tensor, "count z_dim"]:
    source = torch.Generator(task.device).manual_seed(seed)
    return torch.randn(count, task.generator.z_dim, generator=source, device=task.device)


def _unit(colours: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 side side"]:
    return (colours * 0.5 + 0.5).clamp(0.0, 1.0)
