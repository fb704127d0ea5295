"""A term for training a GAN whose view layers leave the object alone, from a frozen pose regressor.

Small StyleGANs draw the whole object with their first layers: those decided 0.92 of the paint's variance and left 0.03
to the others, so that every view code repainted the object. Mixing regularization does not change that, since
a generator that ignores one of two codes is not punished.
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
    """How strongly the GAN's layers are told apart."""

    regressor: str = "car"
    """Pose regressor: `car`, or a .safetensors file. Measure the GAN with another one than it was trained with."""
    weight: float = 0.3
    """Weight of the term."""
    interval: int = 4
    """Steps between two that use the term; its weight is multiplied by the interval."""

    def __post_init__(self) -> None:
        check_ranges(self, interval=AT_LEAST_1)


def view_consistency(reading: PoseReading, objects: int) -> Float[Tensor, ""]:
    """How much of the paint, height and body type the view code decides, and of the azimuth the object code.

    The logarithm of the variance within an object (for the azimuth: within a view) over that between objects (views),
    averaged over the numbers of an aspect, summed over aspects. Numbers have about unit variance in the car world.
    Paint is read as brightness and two color differences: as RGB, brightness would outweigh hues, which then vanish.

    Args:
        reading: of a table of images, row-major: one object per row, one view code per column.
        objects: rows of the table, at least 2, and as many columns or more.
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
    """Bounded on both sides: nothing is gained by less variance within rows than a 20th, nor by more between rows
    than half of what real images have. Without the second bound, cars became black or glaring white."""
    within, between = table.var(dim=1).mean(dim=0), table.mean(dim=1).var(dim=0)
    return ((within + 0.05) / (between.clamp_max(0.5) + 0.05)).log().mean()
