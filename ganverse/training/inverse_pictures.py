"""Pictures of the inverse graphics network in training, always of the same objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.evaluation.picture_table import Column, table
from ganverse.export.textured import glb_bytes
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering.render import render
from ganverse.rendering.shading import ambient_light
from ganverse.tasks.inverse import InverseGraphicsTask
from ganverse.training.camera_history import read_history
from ganverse.training.charts import camera_wheel
from ganverse.training.media import Medium, Solid

NOVEL_AZIMUTHS = (35.0, 125.0, 215.0, 305.0)
NOVEL_ELEVATION = 15.0


@dataclass(frozen=True)
class InversePainter:
    """A `Painter`: always the objects of `batch`.

    inverse: one row per object; input, its re-render, another view and its re-render, novel views, shape alone, UV
    texture. object-N: the first `meshes` objects as GLB. camera-wheel: annotated and learned azimuths, with their way
    there where `history` (see `CameraHistory`) is kept. size: pixels per cell.
    """

    batch: MultiViewBatch
    size: int = 128
    meshes: int = 2
    history: Path | None = None

    def __call__(self, task: InverseGraphicsTask) -> dict[str, Medium]:
        """Table, meshes and wheel."""
        seen = task.network(self.batch.to(task.device).images[:, 0])
        media: dict[str, Medium] = {"inverse": table(self._columns(task, seen), cell=self.size)}
        for i in range(min(self.meshes, len(self.batch))):
            mesh = task.network.template.with_vertices(seen.vertices[i : i + 1])
            media[f"object-{i + 1}"] = Solid(glb_bytes(mesh, seen.texture[i]))
        moments = read_history(self.history) if self.history else []
        return media | ({"camera-wheel": camera_wheel(moments)} if moments else {})

    def _columns(self, task: InverseGraphicsTask, seen: Reconstruction) -> list[Column]:
        batch, network = self.batch.to(task.device), task.network
        columns = []
        for view, name in zip(range(batch.images.shape[1]), ("input", "other view"), strict=False):
            render_of = self._view(network, seen, task.cameras(batch.view_ids[:, view]))
            columns += [Column(name, batch.images[:, view]), Column("render", render_of)]
        distance = task.cameras.all().distance.detach().mean().expand(len(batch))
        columns += [
            Column(f"novel, {azimuth:g}°", self._view(network, seen, _orbit(azimuth, distance)))
            for azimuth in NOVEL_AZIMUTHS
        ]
        columns += [
            Column(f"shape, {azimuth:g}°", self._clay(network, seen, _orbit(azimuth, distance)))
            for azimuth in NOVEL_AZIMUTHS[::2]
        ]
        return [*columns, Column("UV texture", seen.texture)]

    def _view(
        self, network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
    ) -> Float[Tensor, "batch 3 size size"]:
        """Textured, on white."""
        drawn = render(network.mesh(seen), seen.texture, cameras, seen.light, self.size)
        return drawn.rgb + (drawn.face_index < 0)[:, None]

    def _clay(
        self, network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
    ) -> Float[Tensor, "batch 3 size size"]:
        """Gray under a light from above, on white."""
        light = 0.75 * ambient_light(len(cameras), seen.vertices.device)
        light[:, 1:4] = torch.tensor([0.30, 0.15, 0.15], device=light.device)
        drawn = render(network.mesh(seen), torch.full_like(seen.texture, 0.75), cameras, light, self.size)
        return drawn.rgb + (drawn.face_index < 0)[:, None]


def _orbit(azimuth: float, distance: Float[Tensor, " batch"]) -> Cameras:
    count = len(distance)
    return Cameras.from_degrees([azimuth] * count, [NOVEL_ELEVATION] * count, distance, device=distance.device)
