"""Learnable cameras: one per view code, shared by all objects (paper section 3, "camera")."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras

MAX_ELEVATION_DEGREES = 80.0


class CameraTable(nn.Module):
    """Azimuth, elevation, log distance and image offset of every view code.

    Gauge: object scale and camera distance are interchangeable, so the mean log distance stays at its initial value.
    The symmetry plane and the annotated bins fix the azimuth. The offsets have mean zero, because a common offset is a
    translation of the object.

    Args:
        azimuth_degrees: annotated azimuths by view id; coarse bins of 30 degrees are enough.
        elevation_degrees: initial elevation (paper: 0).
        distance: initial distance in world units (template radius 1).
        learn_offset: learn an image shift (NDC) per view; otherwise every camera looks at the origin.
    """

    mean_log_distance: Tensor

    def __init__(
        self,
        azimuth_degrees: Sequence[float],
        *,
        elevation_degrees: float = 0.0,
        distance: float = 4.0,
        learn_offset: bool = True,
    ) -> None:
        super().__init__()
        views = len(azimuth_degrees)
        if views == 0 or distance <= 0:
            raise GanverseError(
                f"expected a camera table of at least one view at a positive distance, got {views} at {distance}; "
                "annotate some views first"
            )
        self.learn_offset = learn_offset
        self.azimuth = nn.Parameter(torch.tensor([float(a) for a in azimuth_degrees]).deg2rad())
        self.elevation = nn.Parameter(torch.full((views,), float(elevation_degrees)).deg2rad())
        self.log_distance = nn.Parameter(torch.full((views,), float(distance)).log())
        self.offset = nn.Parameter(torch.zeros(views, 2), requires_grad=learn_offset)
        self.register_buffer("mean_log_distance", self.log_distance.detach().mean())

    def __len__(self) -> int:
        return len(self.azimuth)

    def forward(self, view_ids: Int[Tensor, " batch"]) -> Cameras:
        """Cameras of the given views; gradients reach the table."""
        return self.all()[view_ids]

    def all(self) -> Cameras:
        """All cameras, by view id."""
        log_distance = self.log_distance - self.log_distance.mean() + self.mean_log_distance
        limit = math.radians(MAX_ELEVATION_DEGREES)
        offset = self.offset - self.offset.mean(dim=0) if self.learn_offset else self.offset
        return Cameras(self.azimuth, self.elevation.clamp(-limit, limit), log_distance.exp(), offset)
