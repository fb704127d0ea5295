"""A network of a few thousand numbers and a batch of colored ellipsoids, for all tests of the inverse graphics."""

from __future__ import annotations

import torch

from ganverse.batch import MultiViewBatch
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseNetworkConfig
from ganverse.rendering import render

AZIMUTHS = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
TINY = InverseNetworkConfig(
    resolution=32, subdivisions=2, channels=(8, 16, 16), latent=32, texture_size=32, texture_channels=(16, 16, 8)
)


def tiny_table(elevation: float = 10.0) -> CameraTable:
    return CameraTable(AZIMUTHS, elevation_degrees=elevation, distance=4.0)


def tiny_batch(objects: int = 3, views: int = 2, seed: int = 0) -> MultiViewBatch:
    """Ellipsoids of random size and color, front half lighter, seen by the cameras of `tiny_table`."""
    source = torch.Generator().manual_seed(seed)
    sphere = sphere_template(2)
    axes = torch.tensor([0.35, 0.3, 0.8]) * (0.9 + 0.3 * torch.rand(objects, 1, 3, generator=source))
    colors = torch.rand(objects, 3, 1, 1, generator=source).expand(-1, -1, 8, 8).clone()
    colors[..., 4:] = 0.5 + colors[..., 4:] / 2
    view_ids = torch.stack([torch.randperm(len(AZIMUTHS), generator=source)[:views] for _ in range(objects)])
    with torch.no_grad():
        cameras = tiny_table()(view_ids.flatten())
        meshes = sphere.with_vertices(sphere.vertices * axes).repeat_interleave(views)
        drawn = render(meshes, colors.repeat_interleave(views, dim=0), cameras, size=32, backend="reference")
    mask = (drawn.face_index >= 0).float()[:, None]
    images = drawn.rgb + (1 - mask) * 0.5
    return MultiViewBatch(
        images=images.unflatten(0, (objects, views)),
        masks=mask.unflatten(0, (objects, views)),
        view_ids=view_ids,
        sample_index=torch.arange(objects),
        styles=torch.zeros(objects, views, 1),
    )
