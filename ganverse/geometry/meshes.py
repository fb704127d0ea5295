"""Triangle meshes with one shared topology, and the sphere template with its one square UV chart."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """A batch of meshes that share their faces.

    vertices: world frame. faces: vertex indices, counter-clockwise seen from outside.
    face_uvs: texture coordinates per face corner in [0, 1] (seams need no duplicate vertices); u right, v UP, so (0, 0)
    is the lower left corner of the texture image, as in OBJ.
    """

    vertices: Float[Tensor, "batch verts 3"]
    faces: Int[Tensor, "faces 3"]
    face_uvs: Float[Tensor, "faces 3 2"]

    def with_vertices(self, vertices: Float[Tensor, "batch verts 3"]) -> Mesh:
        """Replaces the vertices."""
        return replace(self, vertices=vertices)

    def repeat_interleave(self, repeats: int) -> Mesh:
        """Repeats every mesh `repeats` times in a row (one per camera)."""
        return self.with_vertices(self.vertices.repeat_interleave(repeats, dim=0))

    def to(self, device: torch.device | str) -> Mesh:
        """The same meshes on another device."""
        return Mesh(self.vertices.to(device), self.faces.to(device), self.face_uvs.to(device))


def face_vertices(
    vertices: Float[Tensor, "batch verts d"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "batch faces 3 d"]:
    """Vertex attributes per face corner."""
    return vertices.index_select(1, faces.flatten()).unflatten(1, faces.shape)  # cheaper than vertices[:, faces]


def face_normals(
    vertices: Float[Tensor, "batch verts 3"], faces: Int[Tensor, "faces 3"], *, unit: bool = True
) -> Float[Tensor, "batch faces 3"]:
    """Outward face normals; with unit=False their length is twice the face's area."""
    a, b, c = face_vertices(vertices, faces).unbind(dim=2)
    normals = torch.cross(b - a, c - a, dim=-1)
    return torch.nn.functional.normalize(normals, dim=-1) if unit else normals


def vertex_normals(
    vertices: Float[Tensor, "batch verts 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "batch verts 3"]:
    """Area-weighted unit vertex normals."""
    normals = face_normals(vertices, faces, unit=False)
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(1, faces[:, corner], normals)
    return torch.nn.functional.normalize(summed, dim=-1)


def icosahedron() -> tuple[Float[Tensor, "12 3"], Int[Tensor, "20 3"]]:
    """Unit icosahedron with vertices at both poles (+y, -y), mirror-symmetric in x."""
    latitude = math.atan(0.5)
    rings = []
    for sign, phase in ((1.0, 0.0), (-1.0, math.pi / 5)):
        azimuth = torch.arange(5, dtype=torch.float64) * (2 * math.pi / 5) + phase
        xz = math.cos(latitude) * torch.stack([azimuth.sin(), azimuth.cos()], dim=-1)
        rings.append(torch.stack([xz[:, 0], torch.full((5,), sign * math.sin(latitude)), xz[:, 1]], dim=-1))
    top, bottom = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, -1.0, 0.0]])
    vertices = torch.cat([top.double(), *rings, bottom.double()])
    faces = []
    for i in range(5):
        j = (i + 1) % 5
        upper, upper_next, lower, lower_next = 1 + i, 1 + j, 6 + i, 6 + j
        faces += [
            (0, upper, upper_next),
            (upper, lower, upper_next),
            (upper_next, lower, lower_next),
            (lower, 11, lower_next),
        ]
    return vertices.float(), torch.tensor(faces)


def subdivide(
    vertices: Float[Tensor, "verts 3"], faces: Int[Tensor, "faces 3"]
) -> tuple[Float[Tensor, "more_verts 3"], Int[Tensor, "more_faces 3"]]:
    """Splits every triangle into four; new vertices at the edge midpoints come after the old ones."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    unique, inverse = edges.unique(dim=0, return_inverse=True)
    ab, bc, ca = (inverse + len(vertices)).view(3, -1)
    a, b, c = faces.unbind(dim=1)
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    new_faces = torch.cat([torch.stack(corner, dim=1) for corner in corners])
    return torch.cat([vertices, vertices[unique].mean(dim=1)]), new_faces


def sphere_template(subdivisions: int = 3) -> Mesh:
    """Unit icosphere with the square UV chart: 642 vertices and 1280 faces at 3 subdivisions (paper, DIB-R)."""
    vertices, faces = icosahedron()
    for _ in range(subdivisions):
        vertices, faces = subdivide(vertices, faces)
        vertices = torch.nn.functional.normalize(vertices, dim=-1)
    return Mesh(vertices[None], faces, square_chart(vertices[faces]))


def square_chart(directions: Float[Tensor, "faces 3 3"]) -> Float[Tensor, "faces 3 2"]:
    """UV of face corners from their directions on the unit sphere: the paper's square chart.

    Azimuthal unwrap about +y: the car's roof is in the center, its front (+z) to the right, its rear to the left, its
    left side (+x) below and its right side (-x) above; the lower pole is stretched over the border. The radius is
    Lambert's equal-area one, so upper and lower half have the same number of texels.
    """
    x, y, z = directions.unbind(dim=-1)
    radius = ((1 - y) / 2).clamp(0, 1).sqrt()
    along = torch.stack([z, -x], dim=-1)
    # The poles have no azimuth: use the mean of the other corners, so that no face spans the square.
    length = along.norm(dim=-1, keepdim=True)
    unit = along / length.clamp_min(1e-6)
    others = unit.sum(dim=1, keepdim=True) - unit
    unit = torch.where(length < 1e-4, torch.nn.functional.normalize(others, dim=-1), unit)
    return 0.5 + 0.5 * _disc_to_square(radius[..., None] * unit)


def _disc_to_square(disc: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
    """Elliptical grid mapping of the unit disc onto [-1, 1]^2: smooth inside, so no triangle folds on a diagonal."""
    squared = disc.square()
    base = 2 + squared - squared.flip(-1)
    root = 2 * 2**0.5 * disc
    return 0.5 * ((base + root).clamp_min(0).sqrt() - (base - root).clamp_min(0).sqrt())


def mirror_pairs(vertices: Float[Tensor, "verts 3"]) -> Int[Tensor, " verts"]:
    """Index of each vertex's mirror image under x -> -x; raises ValueError if the mesh is not mirror-symmetric."""
    mirrored = vertices * vertices.new_tensor([-1.0, 1.0, 1.0])
    distances = torch.cdist(mirrored, vertices, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, index = distances.min(dim=1)
    if nearest.max() > 1e-4:
        raise ValueError(f"expected a mesh symmetric in x, but a vertex lies {nearest.max():.3g} from its mirror image")
    return index
