"""A textured mesh as programs elsewhere know it, and as GLB in memory.

glTF's frame is ours (right-handed, +y up, front +z, faces counter-clockwise), so vertices go out as they are. Only the
texture coordinate turns over, since glTF's v points down; trimesh does that when it writes GLB.
"""

from __future__ import annotations

import torch
import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.geometry.meshes import Mesh, vertex_normals


def textured(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> trimesh.Trimesh:
    """The first mesh of a batch with its texture (row 0 at v = 1), as trimesh knows it.

    A vertex on the chart's seam is doubled, once per texture coordinate; its normal stays that of the closed surface,
    so the seam does not show.
    """
    corners = torch.cat(
        [mesh.faces.flatten()[:, None].double(), mesh.face_uvs.flatten(0, 1).clamp(0, 1).double()], dim=1
    )
    unique, index = corners.unique(dim=0, return_inverse=True)
    origin = unique[:, 0].long()
    normals = vertex_normals(mesh.vertices[:1], mesh.faces)[0]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=texture_picture(texture), metallicFactor=0.0, roughnessFactor=0.9
    )
    return trimesh.Trimesh(
        vertices=mesh.vertices[0].detach()[origin].cpu().numpy(),
        faces=index.view(-1, 3).cpu().numpy(),
        vertex_normals=normals.detach()[origin].cpu().numpy(),
        visual=trimesh.visual.TextureVisuals(uv=unique[:, 1:].float().cpu().numpy(), material=material),
        process=False,
    )


def glb_bytes(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> bytes:
    """The first mesh of a batch with its texture as one binary glTF 2.0 file."""
    data: bytes = textured(mesh, texture).export(file_type="glb", include_normals=True)
    return data


def texture_picture(texture: Float[Tensor, "3 height width"]) -> Image.Image:
    """8 bits a channel; values outside [0, 1] are clamped."""
    pixels = texture.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())
