"""Sample images of the inverse graphics network during training, always of the same objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.evaluation.picture_table import Column, table
from ganverse.export import glb_bytes
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering import ambient_light, render
from ganverse.training.charts import CameraMoment, camera_wheel
from ganverse.training.media import Medium

NOVEL_AZIMUTHS = (35.0, 125.0, 215.0, 305.0)
NOVEL_ELEVATION = 15.0
CELL = 128
MESHES = 2


def inverse_media(
    network: InverseGraphicsNetwork, cameras: CameraTable, batch: MultiViewBatch, history: Sequence[CameraMoment]
) -> dict[str, Medium]:
    """Named media.

    inverse: one row per object with input, re-render, another view, its re-render, novel views, untextured shape, UV
    texture. object-N: the first objects as GLB. camera-wheel: annotated and learned azimuths, and the path between.
    """
    batch = batch.to(cameras.azimuth.device)
    seen = network(batch.images[:, 0])
    media: dict[str, Medium] = {"inverse": table(_columns(network, cameras, batch, seen), cell=CELL)}
    for i in range(min(MESHES, len(batch))):
        mesh = network.template.with_vertices(seen.vertices[i : i + 1])
        media[f"object-{i + 1}"] = glb_bytes(mesh, seen.texture[i])
    return media | ({"camera-wheel": camera_wheel(history)} if history else {})


def _columns(
    network: InverseGraphicsNetwork, cameras: CameraTable, batch: MultiViewBatch, seen: Reconstruction
) -> list[Column]:
    columns = []
    for view, name in zip(range(batch.images.shape[1]), ("input", "other view"), strict=False):
        rendered = _textured(network, seen, cameras(batch.view_ids[:, view]))
        columns += [Column(name, batch.images[:, view]), Column("render", rendered)]
    orbits = {azimuth: _orbit(azimuth, cameras, len(batch)) for azimuth in NOVEL_AZIMUTHS}
    columns += [Column(f"novel, {a:g}°", _textured(network, seen, orbit)) for a, orbit in orbits.items()]
    columns += [Column(f"shape, {a:g}°", _clay(network, seen, orbits[a])) for a in NOVEL_AZIMUTHS[::2]]
    return [*columns, Column("UV texture", seen.texture)]


def _textured(
    network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
) -> Float[Tensor, "batch 3 size size"]:
    """On white."""
    rendered = render(network.mesh(seen), seen.texture, cameras, seen.light, CELL)
    return rendered.rgb + (rendered.face_index < 0)[:, None]


def _clay(
    network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras
) -> Float[Tensor, "batch 3 size size"]:
    """Gray under a light from above, on white."""
    light = 0.75 * ambient_light(len(cameras), seen.vertices.device)
    light[:, 1:4] = torch.tensor([0.30, 0.15, 0.15], device=light.device)
    rendered = render(network.mesh(seen), torch.full_like(seen.texture, 0.75), cameras, light, CELL)
    return rendered.rgb + (rendered.face_index < 0)[:, None]


def _orbit(azimuth: float, table: CameraTable, count: int) -> Cameras:
    distance = table.all().distance.detach().mean().expand(count)
    return Cameras.from_degrees([azimuth] * count, [NOVEL_ELEVATION] * count, distance, device=distance.device)
