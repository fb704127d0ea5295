import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import FOVY_DEGREES
from ganverse.inverse.measured_start import SMALLEST_AXIS, half_extents, measured_axes


def box(width: float, height: float, side: int = 64) -> torch.Tensor:
    """A rectangle in the middle; half sizes in NDC."""
    axis = ((2 * torch.arange(side) + 1 - side) / side).abs()
    return ((axis[None] < width) & (axis[:, None] < height)).float()[None]


def test_half_extents_in_ndc() -> None:
    extents = half_extents(torch.stack([box(0.5, 0.25), torch.zeros(1, 64, 64)]))
    torch.testing.assert_close(extents, torch.tensor([[0.5, 0.25], [0.0, 0.0]]))


def test_axes_of_an_ellipsoid_seen_from_all_sides() -> None:
    x, y, z, distance = 0.3, 0.4, 0.9, 5.0
    azimuth = torch.arange(0.0, 360.0, 15.0)
    angle = azimuth.deg2rad()
    width = ((x * angle.cos()) ** 2 + (z * angle.sin()) ** 2).sqrt()
    scale = distance * math.tan(math.radians(FOVY_DEGREES) / 2)
    masks = torch.stack([box(float(w) / scale, y / scale, 256) for w in width])
    assert measured_axes(masks, azimuth, distance) == pytest.approx((x, y, z), abs=0.02)


def test_pictures_without_objects() -> None:
    masks = torch.stack([box(0.2, 0.2), torch.zeros(1, 64, 64)])
    assert min(measured_axes(masks, torch.tensor([90.0, 0.0]), 4.0)) >= SMALLEST_AXIS
    with pytest.raises(GanverseError, match="found none"):
        measured_axes(torch.zeros(2, 1, 64, 64), torch.zeros(2), 4.0)
