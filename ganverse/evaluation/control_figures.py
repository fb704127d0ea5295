"""More figures of StyleGAN-R: ladders of elevation and size, the swap matrix with its numbers, and its failures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.evaluation.control import Studio, scenes_of
from ganverse.evaluation.control_protocol import LADDER_STEPS, Factors, read_factors, swaps
from ganverse.evaluation.figures import Figure
from ganverse.evaluation.picture_table import Column, table
from ganverse.geometry.cameras import angular_difference
from ganverse.neural_renderer.controls import azimuth_sweep, distance_row, elevation_row, render_in_chunks, under_each
from ganverse.neural_renderer.scenes import Scenes

_CELL = 90
_LADDER_AZIMUTH = 60.0
_SHOWN_FAILURES = 12
_ROWS = {
    "own": "nothing",
    "shape": "shape",
    "texture": "texture",
    "background": "background",
    "camera": "camera",
    "everything": "all but the camera",
}


@torch.no_grad()
def more_control_figures(studio: Studio, batch: MultiViewBatch, azimuths: int = 12) -> list[Figure]:
    """Of the objects of a batch, at least two."""
    scenes = scenes_of(studio.model, batch)
    return [ladders(studio, scenes), swap_matrix_figure(studio, scenes), failures(studio, scenes, azimuths)]


def ladders(studio: Studio, scenes: Scenes) -> Figure:
    """Rows: scenes. Columns: rising elevations, then growing distances, at one azimuth."""
    table_cameras, columns = studio.model.cameras.all(), []
    for name, row in (("elevation", elevation_row), ("distance", distance_row)):
        cameras = row(table_cameras, [_LADDER_AZIMUTH], LADDER_STEPS)
        images = render_in_chunks(studio.renderer, under_each(scenes, cameras)).unflatten(0, (len(scenes), -1))
        asked = [f"{e:.0f}°" for e in cameras.elevation.rad2deg().tolist()]
        asked = asked if name == "elevation" else [f"{d:.2f}" for d in cameras.distance.tolist()]
        columns += [Column(f"{name} {value}", images[:, step]) for step, value in enumerate(asked)]
    return Figure(
        "stylegan-r-ladders",
        "StyleGAN-R: elevation and scale",
        "Elevations between the lowest and the highest of the view codes; distances two standard deviations to either"
        f" side of the usual one. Azimuth {_LADDER_AZIMUTH:.0f}°.",
        table(columns, rows=[str(i + 1) for i in range(len(scenes))], cell=_CELL),
    )


def swap_matrix_figure(studio: Studio, scenes: Scenes) -> Figure:
    """Rows: what is taken from the next scene, with how far that moves silhouette, texture and background."""
    index = torch.arange(1, len(scenes) + 1, device=scenes.vertices.device) % len(scenes)
    shown = {
        name: read_factors(studio.renderer, swapped, studio.instruments)
        for name, swapped in swaps(scenes, index).items()
        if name in _ROWS
    }
    labels = [f"{label}: {_moved(shown[name], shown['own'])}" for name, label in _ROWS.items()]
    columns = [Column(str(i + 1), torch.stack([shown[name].images[i] for name in _ROWS])) for i in range(len(scenes))]
    return Figure(
        "swap-matrix",
        "StyleGAN-R: what a swap moves",
        "Column i is scene i; every row takes one thing from scene i + 1. The numbers: silhouette (1 - IoU) / texture"
        " on the UV chart (L1) / background outside both objects (L1), moved by the swap, means over the columns.",
        table(columns, rows=labels, cell=_CELL),
    )


def _moved(after: Factors, before: Factors) -> str:
    moved = {thing: values.mean().item() for thing, values in after.moved(before).items()}
    return " / ".join(f"{moved[thing]:.3f}" for thing in ("silhouette", "texture", "background"))


def failures(studio: Studio, scenes: Scenes, azimuths: int) -> Figure:
    """The pictures of a full rotation whose azimuth is furthest from what was asked for, worst first."""
    sweep = azimuth_sweep(scenes, studio.model.cameras.all(), [360 * step / azimuths for step in range(azimuths)])
    images = render_in_chunks(studio.renderer, sweep)
    read = studio.instruments.camera(images).azimuth
    error = angular_difference(read, sweep.cameras.azimuth).abs()
    worst = error.argsort(descending=True)[:_SHOWN_FAILURES]
    columns = [
        Column(f"asked {_degrees(sweep.cameras.azimuth[i])}, read {_degrees(read[i])}", images[i : i + 1])
        for i in worst.tolist()
    ]
    flipped = (error > torch.pi / 2).float().mean().item()
    return Figure(
        "stylegan-r-failures",
        "StyleGAN-R: its worst pictures",
        f"Of {len(images)} pictures all round those with the largest azimuth errors. {flipped:.0%} of all show the"
        " other end of the object.",
        table(columns, cell=_CELL),
    )


def _degrees(azimuth: Float[Tensor, ""]) -> str:
    return f"{azimuth.rad2deg().item() % 360:.0f}°"
