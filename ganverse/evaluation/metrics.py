"""Metrics in two parts: pure functions that give one value per object, and a torchmetrics accumulator for their mean.

Every number of the report is a mean over objects, so that one accumulator, right on any number of processes, serves
them all, and so that intervals can be had by resampling objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ganverse.errors import GanverseError


class PerObject(Metric):
    """Accumulates one value per object; `compute` gathers those of all processes. Nothing is communicated before."""

    full_state_update: bool = False
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, values: Float[Tensor, " batch"]) -> None:
        """Add one value per object."""
        self.values.append(values.detach())

    def compute(self) -> Float[Tensor, " objects"]:
        """The values of all objects, process after process; `Score.of` makes a mean and an interval of them."""
        return dim_zero_cat(self.values)


@dataclass(frozen=True)
class Score:
    """Mean over `count` objects, and its 95 % interval where one could be had by resampling objects."""

    mean: float
    low: float | None = None
    high: float | None = None
    count: int = 1

    @classmethod
    def of(cls, values: Float[Tensor, " objects"], *, resamples: int = 1000, seed: int = 0) -> Score:
        """Mean and percentile interval of the bootstrap; deterministic, independent of the values' order.

        Raises:
            GanverseError: no values at all.
        """
        if not len(values):
            raise GanverseError("a score expects at least one object, got none: evaluate more objects")
        ordered = values.double().cpu().sort().values
        index = torch.randint(len(ordered), (resamples, len(ordered)), generator=torch.Generator().manual_seed(seed))
        tails = torch.tensor([0.025, 0.975], dtype=torch.float64)
        low, high = torch.quantile(ordered[index].mean(dim=1), tails).tolist()
        return cls(ordered.mean().item(), low, high, len(ordered))


def mask_iou(
    prediction: Float[Tensor, "batch 1 height width"],
    target: Float[Tensor, "batch 1 height width"],
    *,
    threshold: float | None = 0.5,
) -> Float[Tensor, " batch"]:
    """Intersection over union of masks in [0, 1], per image; two empty masks agree (1).

    threshold: both masks are cut there; None keeps them soft, sum(p t) / sum(p + t - p t), as in the loss L_IoU.
    """
    if threshold is not None:
        prediction, target = (prediction > threshold).to(prediction), (target > threshold).to(target)
    both = (prediction * target).flatten(1).sum(dim=1)
    either = (prediction + target - prediction * target).flatten(1).sum(dim=1)
    return torch.where(either > 0, both / either.clamp_min(1e-9), torch.ones_like(either))


def masked_l1(
    prediction: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Mean absolute RGB difference inside the mask, per image; what the prediction leaves black counts as black."""
    difference = ((prediction - target).abs().mean(dim=1, keepdim=True) * mask).flatten(1).sum(dim=1)
    return difference / mask.flatten(1).sum(dim=1).clamp_min(1e-9)


def mean_color(
    image: Float[Tensor, "batch 3 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3"]:
    """Mean RGB inside the mask; black where the mask is empty."""
    return (image * mask).flatten(2).sum(dim=2) / mask.flatten(1).sum(dim=1, keepdim=True).clamp_min(1e-9)


def chromaticity(color: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Shares of red, green and blue, without brightness; a third each for black, as for every grey."""
    total = color.sum(dim=-1, keepdim=True)
    return torch.where(total > 1e-6, color / total.clamp_min(1e-6), torch.full_like(color, 1 / 3))


def chroma_error(
    prediction: Float[Tensor, "batch 3"], target: Float[Tensor, "batch 3"]
) -> Float[Tensor, " batch"]:
    """Euclidean distance of two colours' chromaticities: 0 = same hue and saturation, sqrt(2) = red against green."""
    return (chromaticity(prediction) - chromaticity(target)).norm(dim=-1)
