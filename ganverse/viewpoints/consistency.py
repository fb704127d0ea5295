"""View consistency: a GAN loss from a frozen pose regressor that keeps the view layers from changing the object.

The first layers of small StyleGANs determine the whole object: they explained 0.92 of the color variance and the others
0.03, so every view code changed the object's color. Mixing regularization does not help, because it does not penalize a
generator that ignores one of two codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import AT_LEAST_1, check_ranges
from ganverse.viewpoints.pose_regressor import PoseReading


@dataclass(frozen=True)
class ConsistencySettings:
    """Settings of the view-consistency loss."""

    regressor: str = "car"
    """Pose regressor: `car`, or a .safetensors file. Measure the trained GAN with another one."""
    weight: float = 0.3
    """Weight of the loss."""
    interval: int = 4
    """Steps between two evaluations of the loss; its weight is multiplied by the interval."""

    def __post_init__(self) -> None:
        check_ranges(self, interval=AT_LEAST_1)


def view_consistency(reading: PoseReading, objects: int) -> Float[Tensor, ""]:
    """How far the view code determines color, height and body type, and the object code the azimuth.

    The log ratio of the variance within an object (azimuth: within a view) to that between objects (views), averaged
    over the numbers of an aspect and summed over aspects. Numbers have about unit variance in the car world. Color is
    brightness and two color differences: in RGB, brightness would outweigh hues, which would then vanish.

    Args:
        reading: predictions for a row-major table of images: one object per row, one view code per column.
        objects: number of rows, at least 2; at least as many columns.
    """
    red, green, blue = reading.color.unbind(dim=1)
    color = torch.stack(
        [
            (red + green + blue) / (3 * 0.27),
            (red - blue) / 0.33,
            (2 * green - red - blue) / (2 * 0.11),
        ],
        dim=1,
    )
    height, kind = reading.height[:, None] / 0.04, reading.body_type.softmax(dim=1) / 0.36
    azimuth = torch.stack([reading.azimuth.cos(), reading.azimuth.sin()], dim=1) / 0.7
    tables = [aspect.unflatten(0, (objects, -1)) for aspect in (color, height, kind, azimuth)]
    return torch.stack([_log_ratio(table) for table in (*tables[:3], tables[3].transpose(0, 1))]).sum()


def _log_ratio(table: Float[Tensor, "rows columns numbers"]) -> Float[Tensor, ""]:
    """Bounded on both sides: reducing the variance within rows below a 20th gains nothing, nor does raising that
    between rows above half of the real images'. Without the second bound, cars became black or bright white."""
    within, between = table.var(dim=1).mean(dim=0), table.mean(dim=1).var(dim=0)
    return ((within + 0.05) / (between.clamp_max(0.5) + 0.05)).log().mean()
