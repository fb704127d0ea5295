"""Triangles at random for the rasterizer's tests."""

import torch
from torch import Tensor

from ganverse.rendering.scene import Triangles


def cast(scene: Triangles, dtype: torch.dtype) -> Triangles:
    """The same triangles in another precision."""
    return Triangles(scene.corners.to(dtype), scene.z.to(dtype), scene.features.to(dtype), scene.drawn)


def soup(seed: int, *, batch: int = 2, faces: int = 40, extent: float = 0.3, channels: int = 3) -> Triangles:
    """Both windings, overlapping, some partly outside the image; z in [-3, -1]."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    centers = 1.2 * uniform(batch, faces, 1, 2)
    return Triangles(
        corners=centers + extent * uniform(batch, faces, 3, 2),
        z=uniform(batch, faces, 3) - 2,
        features=uniform(batch, faces, 3, channels),
        drawn=uniform(batch, faces) > -0.5,
    )


def rectangle(left: float, bottom: float, right: float, top: float) -> Tensor:
    """Two triangles, (2, 3, 2)."""
    a, b, c, d = [left, bottom], [right, bottom], [right, top], [left, top]
    return torch.tensor([[a, b, c], [a, c, d]], dtype=torch.float32)
