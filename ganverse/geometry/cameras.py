"""Perspective cameras; defines all frames and projections.

World: right-handed, +y up, the object looks along +z. Camera frame (OpenGL): x right, y up, the camera looks along its
-z, so visible depths are negative and a LARGER z is closer. NDC: x right, y up, both in [-1, 1] over the image,
whatever its aspect. `Cameras` on a sphere around the origin, which networks predict, are converted to `PinholeCameras`
of any pose and intrinsics before projection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError

FOVY_DEGREES = 30.0
"""Vertical field of view of every `Cameras` (DIB-R's reference training)."""

NEAR = 1e-3
"""Points nearer than this in front of the camera use this depth in the perspective division."""


@dataclass(frozen=True)
class PinholeCameras:
    """A batch of perspective cameras of any pose and intrinsics.

    A world point p is at q = rotation p + translation in the camera frame, and at focal * (q_x, q_y) / -q_z + principal
    in the image.

    rotation: world to camera (x right, y up, looks along -z). translation: world units.
    focal: focal lengths in x and y, in NDC, for the image's aspect.
    principal: intersection of the optical axis and the image, in NDC.
    """

    rotation: Float[Tensor, "batch 3 3"]
    translation: Float[Tensor, "batch 3"]
    focal: Float[Tensor, "batch 2"]
    principal: Float[Tensor, "batch 2"]

    @classmethod
    def from_opengl(cls, view: Float[Tensor, "batch 4 4"], projection: Float[Tensor, "batch 4 4"]) -> PinholeCameras:
        """Cameras in OpenGL's convention, for column vectors (kaolin: `view_matrix()` and `projection_matrix()`).

        Args:
            view: world to camera; x right, y up, looks along -z; last row (0, 0, 0, 1).
            projection: camera to clip coordinates, rows (fx, 0, -cx, 0), (0, fy, -cy, 0), any, (0, 0, -1, 0) with focal
                lengths and principal point in NDC, for the image's aspect.

        Raises:
            GanverseError: other matrices, such as row-vector, skewed, orthographic or OpenCV matrices.
        """
        rows, columns = [0, 0, 1, 1, 3, 3, 3, 3], [1, 3, 0, 3, 0, 1, 2, 3]
        found = torch.cat([view[:, 3], projection[:, rows, columns]], dim=1)
        wrong = (found != found.new_tensor([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0])).any(dim=1)
        if wrong.any():
            raise GanverseError(
                "expected a world-to-camera matrix (last row 0, 0, 0, 1) and an OpenGL perspective projection without"
                f" skew (last row 0, 0, -1, 0), both for column vectors, but camera {int(wrong.nonzero()[0])} has"
                " others; transpose row-vector matrices, convert K, R and t with PinholeCameras.from_opencv"
            )
        return cls(view[:, :3, :3], view[:, :3, 3], projection[:, [0, 1], [0, 1]], -projection[:, :2, 2])

    @classmethod
    def from_opencv(
        cls,
        intrinsics: Float[Tensor, "batch 3 3"],
        rotation: Float[Tensor, "batch 3 3"],
        translation: Float[Tensor, "batch 3"],
        size: tuple[int, int],
    ) -> PinholeCameras:
        """Cameras in OpenCV's convention, as in COLMAP and gsplat (gsplat: K is `Ks`, R and t are `viewmats`).

        Args:
            intrinsics: K in pixels, rows (fx, 0, cx), (0, fy, cy), (0, 0, 1). The image's upper left corner is (0, 0),
                so the center of its first pixel is (0.5, 0.5); add 0.5 to cx and cy if your calibration puts it at (0,
                0).
            rotation: R, world to camera; OpenCV's camera frame has x right, y DOWN and looks along +z.
            translation: t in world units; a world point p is at R p + t in the camera frame.
            size: height and width of the image in pixels.

        Raises:
            GanverseError: a K with skew.
        """
        if intrinsics[:, 0, 1].any():
            raise GanverseError("expected intrinsics without skew (K[0, 1] = 0), got others; undistort the images")
        flip = intrinsics.new_tensor([1.0, -1.0, -1.0])
        per_pixel = 2 / intrinsics.new_tensor([size[1], size[0]])
        focal = intrinsics[:, [0, 1], [0, 1]] * per_pixel
        principal = (intrinsics[:, :2, 2] * per_pixel - 1) * flip[:2]
        return cls(rotation * flip[:, None], translation * flip, focal, principal)

    def with_fovy(self, fovy_degrees: Float[Tensor, " batch"], aspect: float = 1.0) -> PinholeCameras:
        """Sets the vertical field of view of each camera, in (0, 180); aspect: image width / height."""
        focal = 1 / (fovy_degrees.deg2rad() / 2).tan()
        return replace(self, focal=torch.stack([focal / aspect, focal], dim=1))

    def __len__(self) -> int:
        return len(self.rotation)

    def to(self, target: torch.device | str | torch.dtype) -> PinholeCameras:
        """The same cameras on another device, or in another precision."""
        return PinholeCameras(*(x.to(target) for x in (self.rotation, self.translation, self.focal, self.principal)))

    def pinhole(self, aspect: float = 1.0) -> PinholeCameras:
        """Returns itself; the focal lengths already include an aspect."""
        return self


@dataclass(frozen=True)
class Cameras:
    """A batch of cameras that look at the origin.

    azimuth: radians; 0 in front of the object (camera at +z), growing towards +x (counter-clockwise seen from above).
    elevation: radians; positive above the object. `|elevation|` must stay below pi / 2.
    distance: world units (the template sphere has radius 1).
    offset: shift of the image in NDC (x right, y up).
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
        return len(self.azimuth)

    def __getitem__(self, index: slice | Tensor) -> Cameras:
        return self._each(lambda x: x[index])

    def to(self, target: torch.device | str | torch.dtype) -> Cameras:
        """The same cameras on another device, or in another precision."""
        return self._each(lambda x: x.to(target))

    def repeat_interleave(self, repeats: int) -> Cameras:
        """Every camera `repeats` times in a row."""
        return self._each(lambda x: x.repeat_interleave(repeats, dim=0))

    def placed(self, placement: Float[Tensor, "batch 4"]) -> Cameras:
        """Cameras of images that were mirrored, scaled and shifted: (x, y) moved to scale * (sign * x, y) + shift.

        placement: sign (-1 if mirrored, for symmetric objects only), scale, shift in x and y, all in NDC. The camera
        moves closer instead of zooming, which is equal up to perspective: 0.01 for the unit sphere at a distance of 4
        and a scale of 1.1.
        """
        sign, scale = placement[:, 0], placement[:, 1]
        offset = self.offset * torch.stack([sign * scale, scale], dim=1) + placement[:, 2:]
        return Cameras(self.azimuth * sign, self.elevation, self.distance / scale, offset)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Cameras:
        return Cameras(*map(change, (self.azimuth, self.elevation, self.distance, self.offset)))

    @property
    def position(self) -> Float[Tensor, "batch 3"]:
        """Camera centers in the world frame."""
        return self.distance[:, None] * self.rotation[:, 2]

    @property
    def rotation(self) -> Float[Tensor, "batch 3 3"]:
        """World-to-camera rotations; the rows are the camera's right, up and backward axes in the world frame."""
        sin_a, cos_a = self.azimuth.sin(), self.azimuth.cos()
        sin_e, cos_e = self.elevation.sin(), self.elevation.cos()
        right = torch.stack([cos_a, torch.zeros_like(cos_a), -sin_a], dim=-1)
        up = torch.stack([-sin_a * sin_e, cos_e, -cos_a * sin_e], dim=-1)
        backward = torch.stack([sin_a * cos_e, sin_e, cos_a * cos_e], dim=-1)
        return torch.stack([right, up, backward], dim=-2)

    def pinhole(self, aspect: float = 1.0) -> PinholeCameras:
        """Pinhole cameras for images of the given aspect (width / height); the origin is at (0, 0, -distance)."""
        focal = 1.0 / math.tan(math.radians(FOVY_DEGREES) / 2)
        lens = torch.stack([torch.full_like(self.distance, x) for x in (focal / aspect, focal)], dim=1)
        origin = torch.nn.functional.pad(-self.distance[:, None], (2, 0))
        return PinholeCameras(self.rotation, origin, lens, self.offset)


def concatenate(cameras: Sequence[Cameras]) -> Cameras:
    """Concatenates batches."""
    fields = zip(*((c.azimuth, c.elevation, c.distance, c.offset) for c in cameras), strict=True)
    return Cameras(*(torch.cat(each) for each in fields))


def project(
    cameras: Cameras | PinholeCameras, points: Float[Tensor, "batch n 3"], *, aspect: float = 1.0
) -> tuple[Float[Tensor, "batch n 2"], Float[Tensor, "batch n"]]:
    """Perspective projection: NDC positions and camera-frame z (negative in front of the camera).

    aspect: image width / height, for `Cameras`. Points nearer than `NEAR` in front of the camera use that depth in the
    division, so nothing becomes infinite; the renderer drops faces whose z is not negative.
    """
    pinhole = cameras.pinhole(aspect)
    in_camera = points @ pinhole.rotation.transpose(1, 2) + pinhole.translation[:, None]
    z = in_camera[..., 2]
    image = in_camera[..., :2] * pinhole.focal[:, None] / (-z).clamp_min(NEAR)[..., None]
    return image + pinhole.principal[:, None], z


def pixel_axes(
    height: int, width: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """NDC x of the pixel centers of every column (rising), y of every row (falling: row 0 is the top)."""
    columns, rows = (torch.arange(n, dtype=dtype, device=device) for n in (width, height))
    return (2 * columns + 1 - width) / width, (height - 2 * rows - 1) / height


def pixel_centers(height: int, width: int, device: torch.device | str | None = None) -> Float[Tensor, "height width 2"]:
    """NDC positions (x, y) of the pixel centers; row 0 is the top of the image."""
    x, y = pixel_axes(height, width, device=device)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1)


def pixel_rays(cameras: Cameras, height: int, width: int) -> Float[Tensor, "batch height width 3"]:
    """Unit viewing directions in the world frame, one per pixel, starting at `cameras.position`."""
    focal = 1.0 / math.tan(math.radians(FOVY_DEGREES) / 2)
    ndc = pixel_centers(height, width, cameras.azimuth.device) - cameras.offset[:, None, None, :]
    xy = ndc * ndc.new_tensor([width / height / focal, 1.0 / focal])
    directions = torch.nn.functional.normalize(torch.nn.functional.pad(xy, (0, 1), value=-1.0), dim=-1)
    return torch.einsum("bhwc,bcd->bhwd", directions, cameras.rotation)


def angular_difference(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Signed a - b on the circle, radians in [-pi, pi)."""
    return (a - b + math.pi).remainder(2 * math.pi) - math.pi
