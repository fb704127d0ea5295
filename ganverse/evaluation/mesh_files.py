"""Reconstructions as GLB files that any viewer opens."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.geometry.meshes import Mesh, face_vertices, vertex_normals


def glb_bytes(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> bytes:
    """The first mesh of a batch with its texture (row 0 at v = 1); glTF's frame is ours: +y up, front +z, no flip.

    Every face gets corners of its own, since the UV seam needs doubled vertices; normals stay smooth.
    """
    corners = face_vertices(mesh.vertices[:1], mesh.faces)[0].flatten(0, 1)
    normals = face_vertices(vertex_normals(mesh.vertices[:1], mesh.faces), mesh.faces)[0].flatten(0, 1)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(_bytes(texture)), metallicFactor=0.0, roughnessFactor=0.9
    )
    exported = trimesh.Trimesh(
        vertices=corners.detach().cpu().numpy(),
        faces=np.arange(len(corners)).reshape(-1, 3),
        vertex_normals=normals.detach().cpu().numpy(),
        visual=trimesh.visual.TextureVisuals(uv=mesh.face_uvs.flatten(0, 1).cpu().numpy(), material=material),
        process=False,
    )
    data: bytes = exported.export(file_type="glb", include_normals=True)
    return data


def _bytes(texture: Float[Tensor, "3 height width"]) -> np.ndarray:
    pixels = (texture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    array: np.ndarray = pixels.permute(1, 2, 0).contiguous().numpy()
    return array
