"""The learnable cameras of stage 2: one per view code, shared by all objects (paper section 3, "camera")."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras

MAX_ELEVATION_DEGREES = 80.0


class CameraTable(nn.Module):
    """Azimuth, elevation, log distance and image offset of every view code.

    azimuth_degrees: annotated azimuths by view id; coarse bins of 30 degrees are enough.
    elevation_degrees, distance: start of every view (the paper: elevation 0, one distance). A sequence gives every
        view its own.
    learn_offset: whether the pictures may be shifted (NDC); otherwise every camera looks at the origin.

    Gauge: object scale and camera distance are one freedom, so the mean log distance stays exactly at its start.
    The symmetry plane and the annotated bins fix the azimuth; the offsets have mean zero, since a common one is a
    translation of the object.
    """

    mean_log_distance: Tensor

    def __init__(
        self,
        azimuth_degrees: Sequence[float],
        *,
        elevation_degrees: float | Sequence[float] = 0.0,
        distance: float | Sequence[float] = 4.0,
        learn_offset: bool = True,
    ) -> None:
        super().__init__()
        views = len(azimuth_degrees)
        if views == 0:
            raise GanverseError("a camera table needs at least one view, got none: annotate some views first")
        distances = _per_view(distance, views, "distance")
        if bool((distances <= 0).any()):
            raise GanverseError("camera distances must be positive: give them in world units (template radius 1)")
        self.learn_offset = learn_offset
        self.azimuth = nn.Parameter(torch.tensor([float(a) for a in azimuth_degrees]).deg2rad())
        self.elevation = nn.Parameter(_per_view(elevation_degrees, views, "elevation_degrees").deg2rad())
        self.log_distance = nn.Parameter(distances.log())
        self.offset = nn.Parameter(torch.zeros(views, 2), requires_grad=learn_offset)
        self.register_buffer("mean_log_distance", distances.log().mean())

    def __len__(self) -> int:
        return len(self.azimuth)

    def forward(self, view_ids: Int[Tensor, " batch"]) -> Cameras:
        """The cameras of these views; gradients reach the table."""
        return self.all()[view_ids]

    def all(self) -> Cameras:
        """All cameras, by view id."""
        log_distance = self.log_distance - self.log_distance.mean() + self.mean_log_distance
        limit = math.radians(MAX_ELEVATION_DEGREES)
        offset = self.offset - self.offset.mean(dim=0) if self.learn_offset else self.offset
        return Cameras(self.azimuth, self.elevation.clamp(-limit, limit), log_distance.exp(), offset)


def _per_view(value: float | Sequence[float], views: int, name: str) -> Float[Tensor, " views"]:
    if isinstance(value, (int, float)):
        return torch.full((views,), float(value))
    if len(value) != views:
        raise GanverseError(f"expected one {name} per view ({views}), got {len(value)}: give one number or one a view")
    return torch.tensor([float(v) for v in value])
