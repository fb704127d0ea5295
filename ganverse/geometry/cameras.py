"""Perspective cameras on a sphere round the object: the one place that owns frames and projections.

World: right-handed, +y up, the object looks along +z. Camera frame: looks along its own -z, so visible depths are
negative and LARGER z is closer. NDC: x right, y up, both in [-1, 1] over the image, whatever its aspect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FOVY_DEGREES = 30.0
"""Vertical field of view of every camera (DIB-R's reference training)."""


@dataclass(frozen=True)
class Cameras:
    """A batch of cameras that look at the origin.

    azimuth: radians; 0 in front of the object (camera at +z), growing towards +x (counter-clockwise seen from above).
    elevation: radians; positive above the object. |elevation| must stay below pi / 2.
    distance: world units (the template sphere has radius 1).
    offset: shift of the whole picture in NDC (x right, y up).
    """

    azimuth: Float[Tensor, " batch"]
    elevation: Float[Tensor, " batch"]
    distance: Float[Tensor, " batch"]
    offset: Float[Tensor, "batch 2"]

    @classmethod
    def from_degrees(
        cls,
        azimuth: Sequence[float] | Float[Tensor, " batch"],
        elevation: Sequence[float] | Float[Tensor, " batch"],
        distance: Sequence[float] | Float[Tensor, " batch"],
        *,
        device: torch.device | str | None = None,
    ) -> Cameras:
        """Cameras from degrees, without an image-plane offset."""
        azimuth, elevation, distance = (
            torch.as_tensor(x, dtype=torch.float32, device=device) for x in (azimuth, elevation, distance)
        )
        return cls(azimuth.deg2rad(), elevation.deg2rad(), distance, distance.new_zeros(len(distance), 2))

    def __len__(self) -> int:
        return self.azimuth.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Cameras:
        return Cameras(self.azimuth[index], self.elevation[index], self.distance[index], self.offset[index])

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras on another device."""
        return Cameras(*(x.to(device) for x in (self.azimuth, self.elevation, self.distance, self.offset)))

    def repeat_interleave(self, repeats: int) -> Cameras:
        """Every camera `repeats` times in a row."""
        fields = (self.azimuth, self.elevation, self.distance, self.offset)
        return Cameras(*(x.repeat_interleave(repeats, dim=0) for x in fields))

    @property
    def position(self) -> Float[Tensor, "batch 3"]:
        """Camera centers in the world frame."""
        sin_a, cos_a = self.azimuth.sin(), self.azimuth.cos()
        sin_e, cos_e = self.elevation.sin(), self.elevation.cos()
        return self.distance[:, None] * torch.stack([sin_a * cos_e, sin_e, cos_a * cos_e], dim=-1)

    @property
    def rotation(self) -> Float[Tensor, "batch 3 3"]:
        """World-to-camera rotations; the rows are the camera's right, up and backward axes in the world frame."""
        sin_a, cos_a = self.azimuth.sin(), self.azimuth.cos()
        sin_e, cos_e = self.elevation.sin(), self.elevation.cos()
        right = torch.stack([cos_a, torch.zeros_like(cos_a), -sin_a], dim=-1)
        up = torch.stack([-sin_a * sin_e, cos_e, -cos_a * sin_e], dim=-1)
        backward = torch.stack([sin_a * cos_e, sin_e, cos_a * cos_e], dim=-1)
        return torch.stack([right, up, backward], dim=-2)


def concatenate(cameras: Sequence[Cameras]) -> Cameras:
    """One batch out of several."""
    return Cameras(
        torch.cat([c.azimuth for c in cameras]),
        torch.cat([c.elevation for c in cameras]),
        torch.cat([c.distance for c in cameras]),
        torch.cat([c.offset for c in cameras]),
    )


def world_to_camera(cameras: Cameras, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3"]:
    """Points in each camera's own frame (x right, y up, looking along -z)."""
    rotated = points @ cameras.rotation.transpose(1, 2)
    return rotated - torch.nn.functional.pad(cameras.distance[:, None, None], (2, 0))


def project(
    cameras: Cameras, points: Float[Tensor, "batch n 3"], *, aspect: float = 1.0, fovy_degrees: float = FOVY_DEGREES
) -> tuple[Float[Tensor, "batch n 2"], Float[Tensor, "batch n"]]:
    """Perspective projection: NDC positions and camera-frame z (negative in front of the camera).

    aspect: image width / height. Points nearer than 1e-3 in front of the camera are held at that depth in the
    division, so nothing becomes infinite; the rasterizer drops faces whose z is not negative.
    """
    camera_points = world_to_camera(cameras, points)
    z = camera_points[..., 2]
    focal = 1.0 / math.tan(math.radians(fovy_degrees) / 2)
    scale = points.new_tensor([focal / aspect, focal])
    image = camera_points[..., :2] * scale / (-z).clamp_min(1e-3)[..., None]
    return image + cameras.offset[:, None, :], z


def pixel_centers(height: int, width: int, device: torch.device | str | None = None) -> Float[Tensor, "height width 2"]:
    """NDC positions (x, y) of the pixel centers; row 0 is the top of the image."""
    x = (2 * torch.arange(width, device=device) + 1 - width) / width
    y = (height - 2 * torch.arange(height, device=device) - 1) / height
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1)


def pixel_rays(
    cameras: Cameras, height: int, width: int, *, fovy_degrees: float = FOVY_DEGREES
) -> Float[Tensor, "batch height width 3"]:
    """Unit viewing directions in the world frame, one per pixel, starting at `cameras.position`."""
    focal = 1.0 / math.tan(math.radians(fovy_degrees) / 2)
    ndc = pixel_centers(height, width, cameras.azimuth.device) - cameras.offset[:, None, None, :]
    xy = ndc * ndc.new_tensor([width / height / focal, 1.0 / focal])
    directions = torch.nn.functional.normalize(torch.nn.functional.pad(xy, (0, 1), value=-1.0), dim=-1)
    return torch.einsum("bhwc,bcd->bhwd", directions, cameras.rotation)


def angular_difference(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Signed a - b on the circle, radians in [-pi, pi)."""
    return (a - b + math.pi).remainder(2 * math.pi) - math.pi
