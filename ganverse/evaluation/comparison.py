"""Comparison sheets: what a network makes of single pictures, beside the truth, from the best to the worst."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.figures import CELL, Figure, clay, orbit, textured, title
from ganverse.evaluation.picture_table import Column, table
from ganverse.evaluation.world_truth import world_batch
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.random_streams import latents
from ganverse.reconstruction.photos import FoundObject
from ganverse.worlds.generator import MAX_ELEVATION_DEGREES, VIEW_DIMS, CarWorldGenerator

WORST = 3
_AZIMUTHS = (45.0, 135.0, 225.0, 315.0)
_ELEVATION = 12.0
_RENDER = 2 * CELL


def best_to_worst(scores: Float[Tensor, " objects"], rows: int) -> Int[Tensor, " chosen"]:
    """Indices by falling score: the worst three, and the others spread evenly from the best downwards."""
    order = scores.argsort(descending=True, stable=True)
    if rows >= len(order):
        return order
    worst = min(WORST, rows - 1)
    spread = torch.linspace(0, len(order) - worst - 1, rows - worst).round().long()
    return torch.cat([order[spread], order[len(order) - worst :]])


@torch.no_grad()
def world_sheet(
    name: str,
    network: InverseGraphicsNetwork,
    alignment: Alignment,
    seed: int,
    iou_3d: Float[Tensor, " cars"],
    rows: int,
    device: torch.device | str,
) -> Figure:
    """Rows: cars of the world from the best to the worst three by 3D IoU. Columns: input, re-render, four novel views
    each beside the true one."""
    chosen = best_to_worst(iou_3d.cpu(), rows)
    world = CarWorldGenerator(network.config.resolution)
    batch = world_batch(world, seed, chosen, device)
    seen = network(batch.images[:, 0])
    mesh = network.mesh(seen).with_vertices(alignment.points(seen.vertices))
    columns = [
        Column("input", batch.images[:, 0]),
        Column("re-rendered", textured(mesh, seen, batch.cameras[0], _RENDER)),
    ]
    for azimuth in _AZIMUTHS:
        picture, cameras = _true_view(seed, chosen, azimuth)
        columns.append(Column(f"{azimuth:.0f}°", textured(mesh, seen, cameras.to(device), _RENDER)))
        columns.append(Column(f"{azimuth:.0f}° true", picture))
    labels = [f"{iou_3d[index]:.3f}" for index in chosen.tolist()]
    caption = (
        f"{len(chosen)} of {len(iou_3d)} cars by 3D IoU (left), the best on top, the worst {WORST} at the bottom, the "
        "others evenly between. One picture goes in; rendered views stand beside the true ones, under the true cameras."
    )
    return Figure(name, title(name, "from the best to the worst"), caption, table(columns, rows=labels, cell=CELL))


def _true_view(
    seed: int, indices: Int[Tensor, " cars"], azimuth: float
) -> tuple[Float[Tensor, "cars 3 height width"], Cameras]:
    world = CarWorldGenerator(CELL)
    styles = world.styles(world.map(latents(seed, indices, world.z_dim)))
    angle = torch.tensor(azimuth).deg2rad()
    view = torch.tensor([angle.sin(), angle.cos(), _ELEVATION / MAX_ELEVATION_DEGREES, 0.0])
    images, _, cameras = world.render_truth(torch.cat([view.expand(len(styles), -1), styles[:, VIEW_DIMS:]], dim=1))
    return images, cameras


@torch.no_grad()
def photo_sheet(
    name: str, network: InverseGraphicsNetwork, found: Sequence[FoundObject], labels: Sequence[str]
) -> Figure:
    """Rows: photos. Columns: the square, its mask, the re-render, four novel views, shape, texture."""
    device = network.start.device
    photos, masks = (torch.cat([getattr(one, part)(CELL).to(device) for one in found]) for part in ("picture", "mask"))
    seen = network(torch.cat([one.picture(network.config.resolution).to(device) for one in found]))
    mesh, distance = network.mesh(seen), seen.camera.distance
    columns = [
        Column("photo", photos),
        Column("mask", masks.expand(-1, 3, -1, -1)),
        Column("re-rendered", textured(mesh, seen, seen.camera, _RENDER)),
        *(Column(f"{azimuth:.0f}°", textured(mesh, seen, orbit(azimuth, distance), _RENDER)) for azimuth in _AZIMUTHS),
        Column("shape", clay(mesh, orbit(_AZIMUTHS[0], distance), _RENDER)),
        Column("texture", seen.texture),
    ]
    caption = "Photos, single image in, under the predicted camera; the novel views are rendered from the mesh."
    return Figure(name, title(name, "photos"), caption, table(columns, rows=list(labels), cell=CELL))
