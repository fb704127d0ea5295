"""Texture of what a photo does not show: no background color, and the mirror image of the visible side."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.augmentation import fill
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import vertex_normals
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.reconstruction.photos import FoundObject
from ganverse.rendering import render

_SIZE = 256
"""Render size in pixels for deciding which faces a photo shows."""
_HIDDEN = 1e-3
"""Minimum weight of a texel; pairs that the photo shows on neither side are averaged."""


@torch.no_grad()
def predict(network: InverseGraphicsNetwork, found: FoundObject, cameras: Cameras | None = None) -> Reconstruction:
    """Prediction of `network` for an object, with a texture that copies no background.

    cameras: assumed cameras, one prediction each; None uses the predicted one.
    """
    size, count = network.config.resolution, 1 if cameras is None else len(cameras)
    image, mask = (x.expand(count, -1, -1, -1) for x in (found.picture(size), found.mask(size)))
    return network(image, cameras, paint=carry_on(image, mask))


def carry_on(
    images: Float[Tensor, "batch 3 size size"], masks: Float[Tensor, "batch 1 size size"]
) -> Float[Tensor, "batch 3 size size"]:
    """Images whose object colors, without those of the rim, are extended over the background."""
    inside = (-F.max_pool2d(-masks, 3, 1, 1) > 0.9).to(masks)
    # Objects too thin to have an inside use the mask itself, at almost no weight.
    return fill(images, (inside + 1e-4 * masks).clamp(max=1))


@torch.no_grad()
def mirror_hidden(network: InverseGraphicsNetwork, reconstruction: Reconstruction) -> Reconstruction:
    """Mixes every texel with its mirror image, weighted by the squared visibility of either.

    For networks of symmetric categories. Visibility: cosine between normal and viewing direction, on rendered faces.
    """
    vertices, camera, faces = reconstruction.vertices, reconstruction.camera, network.faces
    drawn = render(network.mesh(reconstruction), reconstruction.texture, camera, None, _SIZE)
    shown = vertices.new_zeros(len(vertices), 1 + len(faces))
    shown.scatter_(1, 1 + drawn.face_index.flatten(1), 1.0)
    corners = shown[:, 1:].repeat_interleave(3, dim=1)
    near = torch.zeros_like(vertices[..., 0]).scatter_reduce(1, faces.flatten().expand_as(corners), corners, "amax")
    direction = F.normalize(camera.position[:, None] - vertices, dim=-1)
    facing = (vertex_normals(vertices, faces) * direction).sum(dim=-1).clamp_min(0)
    texels = network.texture.atlas((near * facing)[..., None]).permute(0, 3, 1, 2)
    texture = reconstruction.texture
    sight = F.interpolate(texels, texture.shape[2:], mode="bilinear", align_corners=False).square() + _HIDDEN**2
    mixed = (sight * texture + sight.flip(2) * texture.flip(2)) / (sight + sight.flip(2))
    return replace(reconstruction, texture=mixed)
