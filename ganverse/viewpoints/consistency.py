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

    The sum of logarithms of variances within an object (for the azimuth: within a view) over variances between
    objects (views). Plain variances within would be smallest if all objects were the same.

    Args:
        reading: of a table of images, row-major: one object per row, one view code per column.
        objects: rows of the table, at least 2, and as many columns or more.
    """
    height, kind, color = (aspect.unflatten(0, (objects, -1)) for aspect in reading.aspects)
    azimuth = torch.stack([reading.azimuth.cos(), reading.azimuth.sin()], dim=1).unflatten(0, (objects, -1))
    own = _log_ratio(height, 1.2e-4) + _log_ratio(kind, 0.05) + _log_ratio(color, 0.01)
    return own + _log_ratio(azimuth.transpose(0, 1), 0.05)


def _log_ratio(table: Float[Tensor, "rows columns _"], floor: float) -> Float[Tensor, ""]:
    """floor: a variance below which differences do not count; keeps the logarithm and its gradient bounded."""
    within = table.var(dim=1).sum(dim=-1).mean()
    between = table.mean(dim=1).var(dim=0).sum(dim=-1)
    return ((within + floor) / (between + floor)).log()
