"""Pictures of StyleGAN-R in training: camera rows, swap tables, and its two renderers side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.io import image_grid
from ganverse.neural_renderer.controls import Factor, azimuth_sweep, render_in_chunks, swap_matrix
from ganverse.neural_renderer.training_scenes import TrainingScene
from ganverse.rendering.render import render
from ganverse.tasks.disentangle import DisentangleTask

FACTORS: tuple[Factor, ...] = ("shape", "texture", "background")
AZIMUTHS = tuple(30.0 * step for step in range(12))


@dataclass(frozen=True)
class DisentanglePainter:
    """A `Painter`: always the objects of `batch`.

    camera: the GAN's image, then StyleGAN-R all round. dual: DIB-R above StyleGAN-R, same cameras. swap-*: rows are
    scenes, columns are where that factor comes from; first column and row show the GAN's own images.
    """

    batch: MultiViewBatch
    zoom: int = 1

    def __call__(self, task: DisentangleTask) -> dict[str, Float[Tensor, "3 _ _"]]:
        """The tables, in [0, 1]."""
        scene = task.observe(self.batch.to(task.device))[: len(self.batch)]
        tables = {"camera": camera_rows(task, scene), "dual": dual_rows(task, scene)}
        tables |= {f"swap-{factor}": swap_table(task, scene, factor) for factor in FACTORS}
        columns = {"camera": len(AZIMUTHS) + 1, "dual": len(AZIMUTHS)}
        return {
            name: image_grid(t, columns.get(name, len(self.batch) + 1), zoom=self.zoom) for name, t in tables.items()
        }


def camera_rows(task: DisentangleTask, scene: TrainingScene) -> Float[Tensor, "cells 3 size size"]:
    """Per object one row: the GAN's own image, then StyleGAN-R all round."""
    sweep = azimuth_sweep(scene.inputs, task.networks.cameras.all(), AZIMUTHS)
    rows = render_in_chunks(task.renderer, sweep).unflatten(0, (len(scene.images), len(AZIMUTHS)))
    return torch.cat([scene.images[:, None], rows], dim=1).flatten(0, 1)


@torch.no_grad()
def dual_rows(task: DisentangleTask, scene: TrainingScene) -> Float[Tensor, "cells 3 size size"]:
    """Per object two rows: DIB-R on white, and StyleGAN-R, from the same cameras."""
    sweep = azimuth_sweep(scene.inputs, task.networks.cameras.all(), AZIMUTHS)
    mesh = task.networks.inverse.template.with_vertices(sweep.vertices)
    drawn = render(mesh, sweep.texture, sweep.cameras, size=scene.images.shape[-1])
    classical = drawn.rgb + (drawn.face_index < 0)[:, None]
    both = torch.stack([classical, render_in_chunks(task.renderer, sweep)])
    return both.unflatten(1, (len(scene.images), len(AZIMUTHS))).transpose(0, 1).flatten(0, 2)


def swap_table(task: DisentangleTask, scene: TrainingScene, factor: Factor) -> Float[Tensor, "cells 3 size size"]:
    """Rows: scenes (first column: the GAN's image). Columns: where the factor comes from (first row)."""
    count = len(scene.images)
    cells = render_in_chunks(task.renderer, swap_matrix(scene.inputs, factor)).unflatten(0, (count, count))
    header = torch.cat([torch.ones_like(scene.images[:1]), scene.images])
    body = torch.cat([scene.images[:, None], cells], dim=1)
    return torch.cat([header[None], body]).flatten(0, 1)
