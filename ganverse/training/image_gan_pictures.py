"""Pictures of a GAN in training: samples and style mixing, always of the same codes."""

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.io import image_grid
from ganverse.random_streams import latents
from ganverse.tasks.image_gan import GrowthState, ImageGANTask

_OBJECTS, _VIEWS, _NOISE = 1, 2, 3  # seeds


def paint_gan(task: ImageGANTask) -> dict[str, Float[Tensor, "3 height width"]]:
    """`samples` and `mixing` tables of the averaged generator, 8 x 8 pictures each, in [0, 1].

    Mixing: rows are objects, columns are view codes, which replace the first `view_layers` layers.
    """
    state = task.growth()
    zoom = max(1, 64 // state.resolution)
    return {
        "samples": image_grid(paint_samples(task, state, 64), 8, zoom=zoom),
        "mixing": image_grid(paint_mixing(task, state, rows=8, columns=8), 8, zoom=zoom),
    }


def paint_samples(task: ImageGANTask, state: GrowthState, count: int) -> Float[Tensor, "count 3 side side"]:
    """Samples of the averaged generator with noise, in [0, 1]; the same codes on every call."""
    generator = task.generator_average
    styles = generator.styles(generator.map(_codes(task, count, _OBJECTS)), state.resolution)
    noise = generator.noise(count, seed=_NOISE, resolution=state.resolution)
    return _unit(generator.paint(styles, noise, resolution=state.resolution, fade=state.fade))


def paint_mixing(task: ImageGANTask, state: GrowthState, rows: int, columns: int) -> Float[Tensor, "cells 3 side side"]:
    """Row-major table of mixed samples without noise, in [0, 1]: object of the row, view code of the column."""
    generator = task.generator_average
    layers = 2 * (state.resolution.bit_length() - 2)
    content = generator.map(_codes(task, rows, _OBJECTS)).repeat_interleave(columns, dim=0)
    view = generator.map(_codes(task, columns, _VIEWS)).repeat(rows, 1)
    by_view = torch.arange(layers, device=task.device)[None, :, None] < generator.view_layers
    styles = generator.styles(torch.where(by_view, view[:, None], content[:, None]), state.resolution)
    return _unit(generator.paint(styles, resolution=state.resolution, fade=state.fade))


def _codes(task: ImageGANTask, count: int, seed: int) -> Float[Tensor, "count z_dim"]:
    return latents(seed, range(count), task.generator.z_dim).to(task.generator.start)


def _unit(colors: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 side side"]:
    return (colors * 0.5 + 0.5).clamp(0.0, 1.0)
