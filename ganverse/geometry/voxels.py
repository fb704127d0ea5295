"""Solid voxelization of closed meshes, for 3D IoU."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ganverse.geometry.meshes import face_vertices


def voxelize(
    vertices: Float[Tensor, "batch verts 3"], faces: Int[Tensor, "faces 3"], resolution: int, *, extent: float = 1.0
) -> Bool[Tensor, "batch resolution resolution resolution"]:
    """Occupancy of the voxel centers of the cube [-extent, extent]^3, indexed [x, y, z].

    Exact for closed meshes, also for unions of overlapping closed parts: a center is inside if its winding number along
    +z is positive (the sum of signed crossings with the column).
    """
    return torch.stack([_voxelize_one(v, faces, resolution, extent) for v in vertices])


def _voxelize_one(
    vertices: Float[Tensor, "verts 3"], faces: Int[Tensor, "faces 3"], resolution: int, extent: float
) -> Bool[Tensor, "resolution resolution resolution"]:
    # Grid units: center i is at i. A tiny irrational shift keeps columns off shared edges and vertices.
    shift = vertices.new_tensor([1.7e-5, 2.9e-5, 0.0]).double()
    grid = (vertices.double() / extent + 1) * resolution / 2 - 0.5 + shift
    corners = face_vertices(grid[None], faces)[0]
    low = corners[..., :2].amin(dim=1).ceil().clamp(0, resolution).long()
    high = corners[..., :2].amax(dim=1).floor().clamp(-1, resolution - 1).long()
    size = high - low + 1
    count = size.prod(dim=1)
    face = torch.arange(len(faces), device=vertices.device).repeat_interleave(count)
    local = torch.arange(len(face), device=vertices.device) - (count.cumsum(0) - count)[face]
    column = low[face] + torch.stack([local // size[face, 1], local % size[face, 1]], dim=1)

    a, b, c = corners[face].unbind(dim=1)
    cross = _cross2(b - a, c - a)
    weight_b = _cross2(column - a[:, :2], c - a) / cross
    weight_c = _cross2(b - a, column - a[:, :2]) / cross
    hit = (cross != 0) & (weight_b >= 0) & (weight_c >= 0) & (weight_b + weight_c <= 1)
    z = a[:, 2] + weight_b * (b - a)[:, 2] + weight_c * (c - a)[:, 2]
    # A face looking along -z is an entry on the way up: +1 for every center above it.
    first_above = z.ceil().clamp(0, resolution).long()[hit]
    crossings = torch.zeros(resolution, resolution, resolution + 1, dtype=torch.int32, device=vertices.device)
    crossings.index_put_(
        (column[hit, 0], column[hit, 1], first_above), -cross[hit].sign().to(torch.int32), accumulate=True
    )
    return crossings.cumsum(dim=2)[..., :resolution] > 0


def _cross2(a: Float[Tensor, "n _"], b: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def voxel_iou(a: Bool[Tensor, "batch x y z"], b: Bool[Tensor, "batch x y z"]) -> Float[Tensor, " batch"]:
    """Intersection over union of two occupancies, per mesh."""
    intersection = (a & b).flatten(1).sum(dim=1).float()
    return intersection / (a | b).flatten(1).sum(dim=1).clamp_min(1)
