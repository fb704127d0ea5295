"""Where every texel of the UV chart lies on the surface."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.geometry.meshes import Mesh, face_vertices
from ganverse.rendering.rasterization import rasterize


class TexelAtlas(nn.Module):
    """Carries vertex attributes to the texels of a square texture, for all meshes of one template.

    mesh: one mesh of the template. size: texels per side; row 0 is v = 1. Where faces overlap in the chart (the down
    pole is stretched over the border) the higher one counts. Texels that no face covers take the nearest covered one.
    """

    corners: Tensor
    weights: Tensor

    def __init__(self, mesh: Mesh, size: int) -> None:
        super().__init__()
        self.size = size
        flat = mesh.face_uvs[None] * 2 - 1
        height = face_vertices(mesh.vertices[:1, :, 1:], mesh.faces)[..., 0].mean(dim=-1, keepdim=True)
        depth = (height - height.max() - 1).expand(-1, -1, 3)
        drawn = rasterize(flat, depth, torch.eye(3).expand(1, len(mesh.faces), 3, 3), size, size, backend="reference")
        nearest = _nearest_covered(drawn.face_index[0] >= 0)
        face = drawn.face_index.flatten()[nearest]
        self.register_buffer("corners", mesh.faces[face], persistent=False)
        self.register_buffer("weights", drawn.features.reshape(-1, 3)[nearest], persistent=False)

    def forward(self, attributes: Float[Tensor, "batch verts d"]) -> Float[Tensor, "batch size size d"]:
        """Attributes interpolated at the texel centers."""
        batch, _, d = attributes.shape
        texels = torch.einsum("btkd,tk->btd", attributes[:, self.corners], self.weights)
        return texels.view(batch, self.size, self.size, d)


def _nearest_covered(covered: Tensor) -> Tensor:
    """Flat index of the nearest covered texel, for every texel in row-major order."""
    places = torch.cartesian_prod(*(torch.arange(n) for n in covered.shape)).float()
    index = torch.arange(covered.numel())
    inside, outside = index[covered.flatten()], index[~covered.flatten()]
    if len(outside) > 0:
        index[outside] = inside[torch.cdist(places[outside], places[inside]).argmin(dim=1)]
    return index
