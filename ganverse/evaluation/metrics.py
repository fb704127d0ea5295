"""Metrics: unreduced functions with one value per object, and `Score`, a mean with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.inverse.losses import silhouette_iou

Statistic = Literal["mean", "median"]


@dataclass(frozen=True)
class Score:
    """A reported number.

    value: mean or median of all values. low, high: 95 % percentile bootstrap interval, or None. count: number of
    objects (or scenes) that the bootstrap resamples.
    """

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 0

    @classmethod
    def of(cls, values: Float[Tensor, "objects *repeats"], statistic: Statistic = "mean") -> Score:
        """Mean or median of one or more values per object.

        Values of one object are not independent, so the bootstrap draws whole objects. The order of objects has no
        effect.

        Raises:
            GanverseError: no objects.
        """
        index = resampled_indices(len(values))
        rows = values.double().cpu().reshape(len(values), -1)
        rows = rows[rows[:, 0].argsort(stable=True)]
        value = _reduce(rows.flatten().sort().values[None], statistic).item()
        return cls(value, *interval(_reduce(rows[index].flatten(1), statistic)), len(rows))

    @classmethod
    def of_ratio(cls, numerators: Float[Tensor, " objects"], denominators: Float[Tensor, " objects"]) -> Score:
        """Mean of the numerators over mean of the denominators, all at least 0; the bootstrap draws pairs.

        A mean of ratios would be dominated by objects with a denominator near zero.

        Raises:
            GanverseError: no objects.
        """
        index = resampled_indices(len(numerators))
        above, below = numerators.double().cpu(), denominators.double().cpu()
        again = above[index].mean(dim=1) / below[index].mean(dim=1).clamp_min(1e-9)
        return cls((above.mean() / below.mean().clamp_min(1e-9)).item(), *interval(again), len(above))


def resampled_indices(count: int, resamples: int = 1000) -> Int[Tensor, "resamples objects"]:
    """Bootstrap: `resamples` draws of `count` objects with replacement, always the same ones.

    Raises:
        GanverseError: no objects.
    """
    if count < 1:
        raise GanverseError("expected at least one object for a score, got none; evaluate more objects")
    return torch.randint(count, (resamples, count), generator=torch.Generator().manual_seed(0))


def interval(resamples: Float[Tensor, " resamples"]) -> tuple[float, float]:
    """The central 95 %."""
    low, high = torch.quantile(resamples, torch.tensor([0.025, 0.975], dtype=resamples.dtype)).tolist()
    return low, high


def _reduce(values: Float[Tensor, "rows values"], statistic: Statistic) -> Float[Tensor, " rows"]:
    return values.mean(dim=1) if statistic == "mean" else values.quantile(0.5, dim=1)


def joined(batches: Sequence[Mapping[str, Float[Tensor, " _"]]]) -> dict[str, Float[Tensor, " objects"]]:
    """One value per object and name from the batches, on the CPU."""
    return {name: torch.cat([batch[name].detach().cpu().float() for batch in batches]) for name in batches[0]}


def scores_of(values: Mapping[str, Float[Tensor, " objects"]]) -> dict[str, Score]:
    """Means with intervals, by name."""
    return {name: Score.of(column) for name, column in values.items()}


def mask_iou(
    prediction: Float[Tensor, "batch 1 height width"], target: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Intersection over union of masks in [0, 1], thresholded at one half, per image; 0 for two empty masks."""
    return silhouette_iou((prediction > 0.5).to(prediction), (target > 0.5).to(prediction))


def masked_l1(
    prediction: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Mean absolute RGB difference inside the mask, per image."""
    return _masked_mean((prediction - target).abs(), mask)


def masked_psnr(
    prediction: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """PSNR of RGB in [0, 1] inside the mask, in dB per image; at most 60, the limit of 8 bits."""
    return -10 * _masked_mean((prediction - target).square(), mask).clamp_min(1e-6).log10()


def _masked_mean(
    values: Float[Tensor, "batch 3 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    total = (values.mean(dim=1, keepdim=True) * mask).flatten(1).sum(dim=1)
    return total / mask.flatten(1).sum(dim=1).clamp_min(1e-9)
