"""Which style dimensions carry the viewpoint: the paper's "144 of 2048 most correlated with the viewpoint".

Measure (per style dimension s): R2 of the linear regression of s on the view targets, minus `content_weight` times the
R2 of the regression of s on content descriptors (shape, color). Plain correlation with the view (no descriptors) also
picks dimensions that hold the object's size; on our car GAN the subtraction keeps identity much better at equal count.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError


def view_targets(
    azimuth: Float[Tensor, " samples"], elevation: Float[Tensor, " samples"] | None = None, *, harmonics: int = 1
) -> Float[Tensor, "samples targets"]:
    """Regression targets of a viewpoint: cos and sin of the azimuth (and its multiples), and of the elevation; radians.

    Linear regression cannot follow an angle over the wrap-around, cosine and sine can. Two harmonics also catch
    dimensions that only tell front or rear from the sides.
    """
    angles = [azimuth * k for k in range(1, harmonics + 1)] + ([] if elevation is None else [elevation])
    return torch.stack([f(angle) for angle in angles for f in (torch.cos, torch.sin)], dim=1)


def explained_variance(
    values: Float[Tensor, "samples dims"], predictors: Float[Tensor, "samples predictors"]
) -> Float[Tensor, " dims"]:
    """R2 in [0, 1] of the linear regression (with intercept) of every column of `values` on all `predictors`.

    A column without variance has R2 0. In sample, so use many more samples than predictors.
    """
    y = (values - values.mean(dim=0)).double()
    x = (predictors - predictors.mean(dim=0)).double()
    left, singular, _ = torch.linalg.svd(x, full_matrices=False)
    basis = left[:, singular > 1e-9 * singular.amax().clamp_min(1e-300)]
    explained = (basis.T @ y).square().sum(dim=0)
    total = y.square().sum(dim=0)
    share = explained / total.clamp_min(1e-300)
    return torch.where(total > 1e-12 * len(y), share, torch.zeros_like(share)).clamp(0, 1).float()


def view_scores(
    styles: Float[Tensor, "samples dims"],
    targets: Float[Tensor, "samples targets"],
    content: Float[Tensor, "samples descriptors"] | None = None,
    *,
    content_weight: float = 0.5,
) -> Float[Tensor, " dims"]:
    """The measure above for every style dimension; higher means more viewpoint and less content."""
    scores = explained_variance(styles, targets)
    if content is None:
        return scores
    return scores - content_weight * explained_variance(styles, content)


def select_view_dims(
    styles: Float[Tensor, "samples dims"],
    targets: Float[Tensor, "samples targets"],
    content: Float[Tensor, "samples descriptors"] | None,
    count: int,
    *,
    content_weight: float = 0.5,
) -> tuple[int, ...]:
    """The `count` style dimensions with the highest score, ascending (ties go to the lower dimension).

    styles: w* of random samples, already cut to the first k layers. targets: see `view_targets`. content: any numbers
    that describe shape and color (size, body type one-hot, mean color), or None.
    """
    samples, dims = styles.shape
    if not 1 <= count <= dims:
        raise GanverseError(f"expected to select between 1 and {dims} view dimensions, got count={count}")
    predictors = max(targets.shape[1], 0 if content is None else content.shape[1])
    if samples < 4 * predictors:
        raise GanverseError(
            f"expected at least {4 * predictors} samples to correlate {predictors} numbers, got {samples}"
        )
    scores = view_scores(styles, targets, content, content_weight=content_weight)
    chosen = scores.argsort(descending=True, stable=True)[:count]
    return tuple(sorted(chosen.tolist()))
