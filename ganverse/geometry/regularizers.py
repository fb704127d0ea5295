"""Shape regularizers of the paper's Eq. 1 (L_lap, L_sm, L_mov), unreduced.

The paper's weights 5 / 5 / 2.5 apply to plain means of these values. DIB-R's public code multiplies the Laplacian by 3V
and the flatten term by E, and uses weights of 0.01 / 0.001; do not mix the two conventions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.geometry.meshes import face_normals


@dataclass(frozen=True)
class Adjacency:
    """Adjacency of a closed triangle surface, shared by all meshes of one template.

    edges: the two vertices of every edge, once. edge_faces: the two faces that share it. degree: number of neighbors of
    every vertex, as a float.
    """

    edges: Int[Tensor, "edges 2"]
    edge_faces: Int[Tensor, "edges 2"]
    degree: Float[Tensor, " verts"]

    @classmethod
    def build(cls, faces: Int[Tensor, "faces 3"]) -> Adjacency:
        """Adjacency of a closed surface; raises ValueError if an edge does not belong to exactly two faces."""
        corners = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
        edges, inverse, counts = corners.unique(dim=0, return_inverse=True, return_counts=True)
        if not bool((counts == 2).all()):
            raise ValueError("expected a closed surface, but some edge does not belong to exactly two faces")
        owner = torch.arange(len(faces), device=faces.device).repeat(3)
        edge_faces = owner[inverse.argsort(stable=True)].view(-1, 2)
        return cls(edges, edge_faces, edges.flatten().bincount().float())

    def to(self, device: torch.device | str) -> Adjacency:
        """The same neighborhoods on another device."""
        return Adjacency(self.edges.to(device), self.edge_faces.to(device), self.degree.to(device))


def uniform_laplacian(values: Float[Tensor, "batch verts d"], adjacency: Adjacency) -> Float[Tensor, "batch verts d"]:
    """Mean of the neighbors minus the vertex itself, for any vertex attribute."""
    first, second = adjacency.edges.unbind(dim=1)
    total = torch.zeros_like(values).index_add(1, first, values[:, second]).index_add(1, second, values[:, first])
    return total / adjacency.degree[:, None] - values


def laplacian_loss(displacement: Float[Tensor, "batch verts 3"], adjacency: Adjacency) -> Float[Tensor, "batch verts"]:
    """L_lap of Eq. 1: squared length of the uniform Laplacian of the predicted DISPLACEMENT, per vertex.

    Uses the displacement instead of the positions, so that the template itself costs nothing.
    """
    return uniform_laplacian(displacement, adjacency).square().sum(dim=-1)


def flatten_loss(
    vertices: Float[Tensor, "batch verts 3"], faces: Int[Tensor, "faces 3"], adjacency: Adjacency
) -> Float[Tensor, "batch edges"]:
    """L_sm of Eq. 1 as in DIB-R: (1 - cosine)^2 between the normals of the two faces of an edge; 0 = flat, 4 = folded.

    The square tolerates the many small angles of a rounded shape; without it the paper's weight oversmooths cars.
    """
    first, second = face_normals(vertices, faces)[:, adjacency.edge_faces].unbind(dim=2)
    return (1 - (first * second).sum(dim=-1)).square()


def move_loss(displacement: Float[Tensor, "batch verts 3"]) -> Float[Tensor, "batch verts"]:
    """L_mov of Eq. 1: squared length of the predicted displacement, per vertex; keeps it small and uniform."""
    return displacement.square().sum(dim=-1)


def low_pass(faces: Int[Tensor, "faces 3"], strength: float) -> Float[Tensor, "verts verts"]:
    """Matrix (I + strength * L)^-1 with the uniform Laplacian L; 0 = identity.

    Displacements filtered by it are smooth from the first step, so that no face folds before the regularizers take
    effect (Nicolet et al. 2021, "Large steps in inverse rendering of geometry").
    """
    adjacency = Adjacency.build(faces)
    identity = torch.eye(len(adjacency.degree), device=faces.device)
    towards_neighbors = uniform_laplacian(identity[None], adjacency)[0]
    return torch.linalg.inv(identity - strength * towards_neighbors)
