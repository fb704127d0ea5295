"""The scene all renderers draw: an ellipsoid from all round."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.geometry.cameras import Cameras, project
from ganverse.geometry.meshes import face_vertices, sphere_template


class Passes(NamedTuple):
    """A contender at work: the backward pass takes what the forward pass returns."""

    forward: Callable[[], Any]
    backward: Callable[[Any], None]


@dataclass(frozen=True)
class Scene:
    """A batch of projected meshes, and the gradients that come back.

    Positions in NDC, z negative; winding: negative for faces that look away.
    """

    size: int
    faces: Int[Tensor, "f 3"]
    points: Float[Tensor, "b verts 2"]
    points_z: Float[Tensor, "b verts"]
    point_features: Float[Tensor, "b verts 3"]
    corners: Float[Tensor, "b f 3 2"]
    z: Float[Tensor, "b f 3"]
    features: Float[Tensor, "b f 3 3"]
    winding: Float[Tensor, "b f"]
    grad_features: Float[Tensor, "b h w 3"]
    grad_mask: Float[Tensor, "b h w"]


def ellipsoid_scene(subdivisions: int, batch: int, size: int, device: torch.device) -> Scene:
    """`batch` views of one ellipsoid, a car's rough proportions, filling about 40 % of the image."""
    generator = torch.Generator().manual_seed(0)
    mesh = sphere_template(subdivisions)
    vertices = (mesh.vertices * torch.tensor([0.7, 0.6, 1.0])).expand(batch, -1, -1)
    cameras = Cameras.from_degrees(
        azimuth=torch.arange(batch) * 360.0 / batch + 7.0,
        elevation=torch.full((batch,), 12.0),
        distance=torch.full((batch,), 5.0),
    )
    points, z = project(cameras, vertices)
    colors = torch.rand(batch, vertices.shape[1], 3, generator=generator)
    corners = face_vertices(torch.cat([points, z[..., None], colors], dim=-1), mesh.faces).to(device)
    a, b, c = corners[..., :2].unbind(2)
    winding = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
    return Scene(
        size=size,
        faces=mesh.faces,
        points=points,
        points_z=z,
        point_features=colors,
        corners=corners[..., :2].contiguous(),
        z=corners[..., 2].contiguous(),
        features=corners[..., 3:].contiguous(),
        winding=winding,
        grad_features=torch.randn(batch, size, size, 3, generator=generator).to(device),
        grad_mask=torch.randn(batch, size, size, generator=generator).to(device),
    )
