"""Metrics in two parts: pure functions that give one value per object, and a torchmetrics accumulator for their mean.

Every number of the report is a mean over objects, so that one accumulator, right on any number of processes, serves
them all, and so that intervals can be had by resampling objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ganverse.distributed import gathering_device
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
        self.values.append(values.detach().to(gathering_device(), torch.float32))

    def take_part(self) -> None:
        """Lets a process that has no objects gather with the others, which would wait for it in vain."""
        if not self.values:
            self.update(torch.zeros(0))

    def compute(self) -> Float[Tensor, " objects"]:
        """The values of all objects, process after process; `Score.of` makes a mean and an interval of them."""
        return dim_zero_cat(self.values)


class Accumulator:
    """One `PerObject` per name; the names are fixed, so that all processes gather the same things in the same order."""

    def __init__(self, *names: str) -> None:
        self._values = {name: PerObject() for name in names}

    def add(self, name: str, values: Float[Tensor, " batch"]) -> None:
        """Values of further objects."""
        self._values[name].update(values)

    def values(self) -> dict[str, Float[Tensor, " objects"]]:
        """One value per object of all processes, in the same order under every name."""
        for values in self._values.values():
            values.take_part()
        # torchmetrics squeezes what a single object leaves
        return {name: values.compute().flatten() for name, values in self._values.items()}

    def scores(self, prefix: str = "") -> dict[str, Score]:
        """Means and intervals over the objects of all processes."""
        return {prefix + name: Score.of(values) for name, values in self.values().items()}


Statistic = Literal["mean", "median"]


@dataclass(frozen=True)
class Score:
    """A number of the report.

    value: mean or median over `count` objects. low, high: its 95 % interval under resampling of the objects, None
    where the number is not made of objects.
    """

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 1

    @classmethod
    def of(
        cls, values: Float[Tensor, " objects"], statistic: Statistic = "mean", *, resamples: int = 1000, seed: int = 0
    ) -> Score:
        """Value and percentile interval of the bootstrap; deterministic, independent of the values' order.

        Raises:
            GanverseError: no values at all.
        """
        if not len(values):
            raise GanverseError("a score expects at least one object, got none: evaluate more objects")
        ordered = values.double().cpu().sort().values
        again = _reduce(ordered[_resampled(len(ordered), resamples, seed)], statistic)
        return cls(_reduce(ordered[None], statistic).item(), *_interval(again), len(ordered))

    @classmethod
    def of_ratio(
        cls,
        numerators: Float[Tensor, " objects"],
        denominators: Float[Tensor, " objects"],
        *,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Score:
        """Mean of the numerators over mean of the denominators, all at least 0; the bootstrap draws pairs.

        A mean of ratios would be ruled by the objects whose denominator is next to nothing.

        Raises:
            GanverseError: no pairs at all.
        """
        if not len(numerators):
            raise GanverseError("a score expects at least one object, got none: evaluate more objects")
        above, below = numerators.double().cpu(), denominators.double().cpu()
        index = _resampled(len(above), resamples, seed)
        again = above[index].mean(dim=1) / below[index].mean(dim=1).clamp_min(1e-9)
        return cls((above.mean() / below.mean().clamp_min(1e-9)).item(), *_interval(again), len(above))


def _resampled(count: int, resamples: int, seed: int) -> Int[Tensor, "resamples objects"]:
    return torch.randint(count, (resamples, count), generator=torch.Generator().manual_seed(seed))


def _interval(values: Float[Tensor, " resamples"]) -> tuple[float, float]:
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def _reduce(values: Float[Tensor, "rows objects"], statistic: Statistic) -> Float[Tensor, " rows"]:
    return values.mean(dim=1) if statistic == "mean" else values.quantile(0.5, dim=1)


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


def masked_psnr(
    prediction: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio of RGB in [0, 1] inside the mask, dB per image; at most 60, where 8 bits end."""
    squared = ((prediction - target).square().mean(dim=1, keepdim=True) * mask).flatten(1).sum(dim=1)
    return -10 * (squared / mask.flatten(1).sum(dim=1).clamp_min(1e-9)).clamp_min(1e-6).log10()
