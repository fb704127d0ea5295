"""Gauge alignment: one similarity from a trained network's world to the true world, the same for all objects.

Multi-view training determines shapes only up to what the cameras can absorb: object scale against camera distance (the
camera table fixes its mean), a turn about +y against the azimuths, a shift against the image offsets. Before any 3D
metric one transform per MODEL, never per object, removes this freedom:

1. `from_cameras`: scale from the mean log distance, and turn from the mean azimuth difference, between the camera table
   and the true cameras of the view codes (for a GAN the azimuths that a pose regressor predicts, and the distances that
   frame a car in the car world).
2. `refine`: scale, turn and shift that minimize the distance between reconstructions and true shapes of calibration
   objects, which are not evaluated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.evaluation.surfaces import SurfaceSamples
from ganverse.geometry.cameras import Cameras, angular_difference


@dataclass(frozen=True)
class Alignment:
    """x_true = scale * R_y(yaw) x + shift.

    yaw: radians, turns +z towards +x, like azimuths. shift: true world units.
    """

    scale: float = 1.0
    yaw: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def points(self, points: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3"]:
        """Maps points of the model's world to the true world."""
        turned = points @ turn_about_y(self.yaw).to(points).T
        return self.scale * turned + points.new_tensor(self.shift)

    def __str__(self) -> str:
        x, y, z = (round(value, 3) + 0.0 for value in self.shift)  # no -0.000
        turn = round(math.degrees(self.yaw), 2) + 0.0
        return f"scale {self.scale:.3f}, turn {turn:.2f} deg, shift ({x:.3f}, {y:.3f}, {z:.3f})"


def turn_about_y(angle: float) -> Float[Tensor, "3 3"]:
    """Rotation by `angle` radians that turns +z towards +x."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return torch.tensor([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def from_cameras(learned: Cameras, true: Cameras) -> Alignment:
    """Scale and turn from two sets of corresponding cameras."""
    scale = (true.distance.log() - learned.distance.log()).mean().exp().item()
    difference = true.azimuth - learned.azimuth
    return Alignment(scale, math.atan2(difference.sin().mean().item(), difference.cos().mean().item()))


def azimuth_errors(alignment: Alignment, learned: Cameras, true: Cameras) -> Float[Tensor, " views"]:
    """Absolute azimuth error of every view in degrees, after alignment."""
    return angular_difference(learned.azimuth + alignment.yaw, true.azimuth).abs().rad2deg()


def refine(start: Alignment, learned: SurfaceSamples, true: SurfaceSamples, *, iterations: int = 20) -> Alignment:
    """Iterated closest points over all objects at once, in both directions, starting from `start`.

    learned, true: surface samples of the same calibration objects, each in its own world. Uses distances to the planes
    of the true triangles, because point-to-point distances resist sliding and stop 1-2 % short of the right scale.
    """
    normals = true.normals
    alignment = start
    for _ in range(iterations):
        moved = alignment.points(learned.points)
        distances = torch.cdist(moved, true.points)
        forward, backward = distances.argmin(dim=2), distances.argmin(dim=1)
        sources = torch.cat([moved, _gather(moved, backward)], dim=1).flatten(0, 1)
        targets = torch.cat([_gather(true.points, forward), true.points], dim=1).flatten(0, 1)
        planes = torch.cat([_gather(normals, forward), normals], dim=1).flatten(0, 1)
        before, alignment = alignment, _gauss_newton(alignment, sources.double(), targets.double(), planes.double())
        pairs = ((one.scale, one.yaw, *one.shift) for one in (before, alignment))
        if max(abs(old - new) for old, new in zip(*pairs, strict=True)) < 1e-4:
            break
    return alignment


def _gather(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(1, index[..., None].expand(-1, -1, 3))


def _gauss_newton(
    alignment: Alignment, moved: Float[Tensor, "n 3"], targets: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]
) -> Alignment:
    """One Gauss-Newton step on the point-to-plane distances, in (log scale, yaw, shift)."""
    centered = moved - moved.new_tensor(alignment.shift)
    turning = torch.stack([centered[:, 2], torch.zeros_like(centered[:, 0]), -centered[:, 0]], dim=1)
    columns = [(normals * centered).sum(dim=1), (normals * turning).sum(dim=1), *normals.unbind(dim=1)]
    residual = (normals * (targets - moved)).sum(dim=1)
    log_scale, yaw, *shift = torch.linalg.lstsq(torch.stack(columns, dim=1), residual[:, None]).solution[:, 0].tolist()
    x, y, z = (old + new for old, new in zip(alignment.shift, shift, strict=True))
    return Alignment(alignment.scale * math.exp(log_scale), alignment.yaw + yaw, (x, y, z))
