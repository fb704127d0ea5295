"""Closed building blocks of fixed topology: a subdivided box of any shape, and a wheel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LatticeBox:
    """Surface of an nx x ny x nz lattice of cells.

    lattice: integer (i, j, k) of every surface vertex. faces: two triangles per cell face, outward counter-clockwise.
    side: per face 0..5 = -x, +x, -y, +y, -z, +z. cell: per face the (i, j, k) of its lattice cell.
    """

    lattice: Int[Tensor, "verts 3"]
    faces: Int[Tensor, "faces 3"]
    side: Int[Tensor, " faces"]
    cell: Int[Tensor, "faces 3"]

    @classmethod
    def build(cls, nx: int, ny: int, nz: int) -> LatticeBox:
        """The box with the given number of cells per axis."""
        cells = (nx, ny, nz)
        index: dict[tuple[int, ...], int] = {}
        faces, sides, owners = [], [], []
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            for positive in (False, True):
                for a in range(cells[u]):
                    for b in range(cells[v]):
                        corners = []
                        for da, db in ((0, 0), (1, 0), (1, 1), (0, 1)):
                            point = [0, 0, 0]
                            point[axis], point[u], point[v] = cells[axis] * positive, a + da, b + db
                            corners.append(index.setdefault(tuple(point), len(index)))
                        if not positive:
                            corners.reverse()
                        faces += [(corners[0], corners[1], corners[2]), (corners[0], corners[2], corners[3])]
                        owner = [0, 0, 0]
                        owner[axis], owner[u], owner[v] = (cells[axis] - 1) * positive, a, b
                        sides += [2 * axis + positive] * 2
                        owners += [owner] * 2
        return cls(torch.tensor(list(index)), torch.tensor(faces), torch.tensor(sides), torch.tensor(owners))


@dataclass(frozen=True)
class Wheel:
    """A closed cylinder along x, outer side at x = 1, with a hub disc. Unit radius, x in [0, 1].

    hub: per face whether it belongs to the hub disc.
    """

    vertices: Float[Tensor, "verts 3"]
    faces: Int[Tensor, "faces 3"]
    hub: Int[Tensor, " faces"]

    @classmethod
    def build(cls, segments: int = 14, hub_radius: float = 0.58) -> Wheel:
        """A wheel with the given number of segments."""
        angle = torch.arange(segments) * (2 * math.pi / segments)
        circle = torch.stack([torch.zeros(segments), angle.sin(), angle.cos()], dim=-1)
        outward = torch.tensor([1.0, 0.0, 0.0])
        inner, outer, hub = circle, circle + outward, circle * hub_radius + outward
        vertices = torch.cat([inner, outer, hub, torch.zeros(1, 3), outward[None]])
        faces, is_hub = [], []
        for i in range(segments):
            j = (i + 1) % segments
            rings = [(ring * segments + i, ring * segments + j) for ring in range(3)]
            (a, a2), (b, b2), (c, c2) = rings
            back, front = 3 * segments, 3 * segments + 1
            faces += [(a, b2, b), (a, a2, b2), (b, c2, c), (b, b2, c2), (back, a2, a), (c, c2, front)]
            is_hub += [0, 0, 0, 0, 0, 1]
        return cls(vertices, _outward(vertices, torch.tensor(faces)), torch.tensor(is_hub))


def _outward(vertices: Float[Tensor, "verts 3"], faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "faces 3"]:
    """Flips inward faces of a convex solid."""
    a, b, c = vertices[faces].unbind(dim=1)
    inward = (torch.cross(b - a, c - a, dim=-1) * (a + b + c - 3 * vertices.mean(dim=0))).sum(dim=-1) < 0
    return torch.where(inward[:, None], faces.flip(1), faces)
