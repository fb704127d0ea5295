"""Pictures of the inverse graphics network in training, always of the same objects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering.render import render
from ganverse.rendering.shading import ambient_light
from ganverse.tasks.inverse import InverseGraphicsTask
from ganverse.tasks.pictures import grid

NOVEL_AZIMUTHS = (35.0, 125.0, 215.0, 305.0)
NOVEL_ELEVATION = 15.0


@dataclass(frozen=True)
class InversePainter:
    """A `Painter`: one row per object of `batch`.

    Columns: input | its re-render | other view, as it is | re-rendered | four novel views | shape alone from front and
    rear | UV texture. size: pixels per cell.
    """

    batch: MultiViewBatch
    size: int = 128

    def __call__(self, task: InverseGraphicsTask) -> dict[str, Float[Tensor, "3 height width"]]:
        """The table, in [0, 1]."""
        batch = self.batch.to(task.device)
        network, images = task.network, batch.images
        seen = network(images[:, 0])
        cells = [self._cell(images[:, 0]), self._view(network, seen, task.cameras(batch.view_ids[:, 0]))]
        for view in range(1, min(images.shape[1], 2)):
            cells += [self._cell(images[:, view]), self._view(network, seen, task.cameras(batch.view_ids[:, view]))]
        distance = task.cameras.all().distance.detach().mean().expand(len(batch))
        cells += [self._view(network, seen, _orbit(azimuth, distance)) for azimuth in NOVEL_AZIMUTHS]
        cells += [self._clay(network, seen, _orbit(azimuth, distance)) for azimuth in (35.0, 215.0)]
        cells.append(self._cell(seen.texture))
        return {"inverse": grid(torch.stack(cells, dim=1).flatten(0, 1).cpu(), len(cells))}

    def _cell(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 size size"]:
        return torch.nn.functional.interpolate(images, size=(self.size, self.size), mode="nearest")

    def _view(
        self, network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
    ) -> Float[Tensor, "batch 3 size size"]:
        """Textured, on white."""
        drawn = render(network.mesh(seen), seen.texture, cameras, seen.light, self.size)
        return drawn.rgb + (drawn.face_index < 0)[:, None]

    def _clay(
        self, network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
    ) -> Float[Tensor, "batch 3 size size"]:
        """Grey under a light from above, on white."""
        light = 0.75 * ambient_light(len(cameras), seen.vertices.device)
        light[:, 1:4] = torch.tensor([0.30, 0.15, 0.15], device=light.device)
        drawn = render(network.mesh(seen), torch.full_like(seen.texture, 0.75), cameras, light, self.size)
        return drawn.rgb + (drawn.face_index < 0)[:, None]


def _orbit(azimuth: float, distance: Float[Tensor, " batch"]) -> Cameras:
    count = len(distance)
    return Cameras.from_degrees([azimuth] * count, [NOVEL_ELEVATION] * count, distance, device=distance.device)
