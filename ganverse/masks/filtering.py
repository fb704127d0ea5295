"""The paper's filter: rejects images with several objects, or with one that covers less than 10 % of the image."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ganverse.errors import SHARE, check_ranges
from ganverse.masks.masker import Masks


@dataclass(frozen=True)
class MaskFilter:
    """Which images are kept."""

    min_area: float = 0.10
    """Smallest share of the image covered by the object (paper: 0.10)."""

    def __post_init__(self) -> None:
        check_ranges(self, min_area=SHARE)


@dataclass(frozen=True)
class FilterCounts:
    """Numbers of images kept and rejected; a rejected image counts under its first reason, in this order."""

    kept: int = 0
    no_object: int = 0
    several_objects: int = 0
    too_small: int = 0

    def __add__(self, other: FilterCounts) -> FilterCounts:
        return FilterCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def images(self) -> int:
        """Number of images filtered."""
        return sum(astuple(self))

    @property
    def dropped_share(self) -> float:
        """Share of rejected images in [0, 1]."""
        return 1 - self.kept / max(1, self.images)


@dataclass(frozen=True)
class FilterOutcome:
    """Which images pass, why the others do not (one reason each), and the image share that each mask covers."""

    keep: Bool[Tensor, " batch"]
    no_object: Bool[Tensor, " batch"]
    several_objects: Bool[Tensor, " batch"]
    too_small: Bool[Tensor, " batch"]
    area: Float[Tensor, " batch"]

    @property
    def counts(self) -> FilterCounts:
        """Numbers of kept and rejected images."""
        fields = (self.keep, self.no_object, self.several_objects, self.too_small)
        return FilterCounts(*torch.stack([field.sum() for field in fields]).tolist())


def filter_masks(masks: Masks, settings: MaskFilter | None = None) -> FilterOutcome:
    """Applies the filter to every image of a batch."""
    settings = settings or MaskFilter()
    area = masks.foreground.mean(dim=(1, 2, 3))
    none, several, small = masks.instances == 0, masks.instances > 1, area < settings.min_area
    small = small & ~none & ~several
    return FilterOutcome(~(none | several | small), none, several, small, area)
