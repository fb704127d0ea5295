"""Signs of life of a training: numbers that stay near zero, or far from it, when something has collapsed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.geometry.meshes import Mesh, face_normals, face_vertices

THIN = 1e-3
"""A face is degenerate below this share of its mesh's mean face area."""


@torch.no_grad()
def mask_vitals(masks: Float[Tensor, "pictures 1 height width"]) -> dict[str, Tensor]:
    """masks/coverage: share of the pictures that is foreground; 0 or 1 where masks have collapsed."""
    return {"masks/coverage": masks.mean()}


@torch.no_grad()
def texture_vitals(textures: Float[Tensor, "objects 3 tex tex"]) -> dict[str, Tensor]:
    """Standard deviations of the colors, in [0, 0.5].

    texture/contrast: over each object's chart, 0 for one flat color. texture/variety: over the objects, texel by
    texel, 0 where all look alike; absent for a single object.
    """
    vitals = {"texture/contrast": textures.flatten(2).std(dim=2, correction=0).mean()}
    if len(textures) > 1:
        vitals["texture/variety"] = textures.std(dim=0, correction=0).mean()
    return vitals


@torch.no_grad()
def mesh_vitals(mesh: Mesh) -> dict[str, Tensor]:
    """mesh/thin_faces: share of faces without area. mesh/volume: smallest signed volume, negative if inside out."""
    normals = face_normals(mesh.vertices, mesh.faces, unit=False)
    areas = normals.norm(dim=-1) / 2
    thin = areas < THIN * areas.mean(dim=1, keepdim=True).clamp_min(1e-12)
    corners = face_vertices(mesh.vertices, mesh.faces)[:, :, 0]
    volume = (corners * normals).sum(dim=(1, 2)) / 6
    return {"mesh/thin_faces": thin.float().mean(), "mesh/volume": volume.min()}


@torch.no_grad()
def camera_vitals(cameras: Cameras, annotated: Float[Tensor, " views"]) -> dict[str, Tensor]:
    """camera/azimuth_drift_degrees: largest distance of an azimuth from the annotated one (both in radians)."""
    return {"camera/azimuth_drift_degrees": angular_difference(cameras.azimuth, annotated).abs().max().rad2deg()}
