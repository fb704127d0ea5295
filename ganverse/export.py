"""Textured meshes as files: GLB first, OBJ + MTL + PNG second.

glTF's frame is ours (right-handed, +y up, front +z, faces counter-clockwise), so vertices go out as they are. Only the
texture coordinate turns over, since glTF's v points down; trimesh does that when it writes GLB.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.weights import write_atomically
from ganverse.geometry.meshes import Mesh, vertex_normals

FORMATS = (".glb", ".obj")


def textured(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> trimesh.Trimesh:
    """The first mesh of a batch with its texture (row 0 at v = 1), as trimesh knows it.

    A vertex on the chart's seam is doubled, once per texture coordinate; its normal stays that of the closed surface,
    so the seam does not show.
    """
    corners = torch.cat([mesh.faces.flatten()[:, None].double(), mesh.face_uvs.flatten(0, 1).double()], dim=1)
    unique, index = corners.unique(dim=0, return_inverse=True)
    origin = unique[:, 0].long()
    normals = vertex_normals(mesh.vertices[:1], mesh.faces)[0]
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=_picture(texture), metallicFactor=0.0, roughnessFactor=0.9
    )
    return trimesh.Trimesh(
        vertices=mesh.vertices[0].detach()[origin].cpu().numpy(),
        faces=index.view(-1, 3).cpu().numpy(),
        vertex_normals=normals.detach()[origin].cpu().numpy(),
        visual=trimesh.visual.TextureVisuals(uv=unique[:, 1:].float().cpu().numpy(), material=material),
        process=False,
    )


def write_mesh(mesh: Mesh, texture: Float[Tensor, "3 height width"], path: Path) -> None:
    """Writes the first mesh of a batch; the ending of `path` says how. OBJ brings NAME.mtl and NAME.png along.

    Raises:
        GanverseError: another ending.
    """
    if path.suffix.lower() not in FORMATS:
        raise GanverseError(f"expected an output file ending in {' or '.join(FORMATS)}, got {path}; rename it")
    exported = textured(mesh, texture)
    if path.suffix.lower() == ".glb":
        write_atomically(path, exported.export(file_type="glb", include_normals=True))
        return
    exported.visual.material = _plain_material(exported.visual.material.baseColorTexture, path.stem)
    text, files = trimesh.exchange.obj.export_obj(
        exported, include_normals=True, return_texture=True, mtl_name=f"{exported.visual.material.name}.mtl"
    )
    for name, data in files.items():
        write_atomically(path.with_name(name), data)
    write_atomically(path, text.encode())


def _plain_material(picture: Image.Image, name: str) -> trimesh.visual.material.SimpleMaterial:
    """White, so that the texture is neither paled nor darkened; many readers of OBJ stumble over spaces in names."""
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = trimesh.visual.material.SimpleMaterial(picture, diffuse=white, ambient=white, specular=black)
    material.name = re.sub(r"\s+", "_", name)
    return material


def _picture(texture: Float[Tensor, "3 height width"]) -> Image.Image:
    pixels = texture.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())
