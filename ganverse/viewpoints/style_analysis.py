"""Which parts of w* carry the viewpoint: single dimensions (the paper's 144 of 2048), or all but a few directions.

The measure of a dimension s is R2 of the linear regression of s on the viewpoint, minus `content_weight` times R2 of
its regression on shape and color. Correlation with the viewpoint alone also picks dimensions that hold the object's
size; on our car GAN the subtraction keeps identity much better at equal count. Linear discriminants find the directions
that follow shape and color, and the viewpoint as little as a linear map can.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.generators.protocol import ImageGenerator
from ganverse.random_streams import latents
from ganverse.viewpoints.directions import ContentDirections
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.view_codes import layer_dims

_SEED, _BATCH = 3, 32
_RIDGE = 1e-3
"""Principal components with less than this share of the largest variance are left out."""


@dataclass(frozen=True)
class StyleAnalysis:
    """How the dimensions or directions are chosen."""

    layers: int = 3
    """Only the first so many layers are searched (the paper's 4 of 16)."""
    samples: int = 4000
    """Random images whose pose, shape and color are predicted."""
    dims: int = 144
    """Dimensions that a view code replaces (`find_view_dims`; the paper's 144 of 2048)."""
    content_weight: float = 0.5
    """Weight of shape and color against the viewpoint in the choice of dimensions."""
    directions: int = 2
    """Directions that stay with the object (`find_content_directions`)."""
    view_weight: float = 4.0
    """Weight of the viewpoint against shape and color in the choice of directions."""

    def __post_init__(self) -> None:
        check_ranges(self, layers=AT_LEAST_1, samples=(2, 1e7), dims=AT_LEAST_1, directions=AT_LEAST_1)


def find_view_dims(generator: ImageGenerator, regressor: PoseRegressor, settings: StyleAnalysis) -> tuple[int, ...]:
    """The `dims` dimensions that follow the viewpoint most, and shape and color least; ascending, deterministic."""
    styles, poses = predict_random_poses(generator, regressor, settings.samples)
    searched = styles[:, list(layer_dims(generator.style_sizes, settings.layers))]
    content = torch.cat(poses.aspects, dim=1)
    return select_view_dims(searched, view_targets(poses), content, settings.dims, settings.content_weight)


def find_content_directions(
    generator: ImageGenerator, regressor: PoseRegressor, settings: StyleAnalysis
) -> ContentDirections:
    """The `directions` of the first `layers` layers that stay with the object; deterministic."""
    styles, poses = predict_random_poses(generator, regressor, settings.samples)
    searched = len(layer_dims(generator.style_sizes, settings.layers))
    found = fit_content_directions(
        styles[:, :searched],
        torch.cat(poses.aspects, dim=1),
        view_targets(poses),
        settings.directions,
        view_weight=settings.view_weight,
    )
    padding = styles.new_zeros(styles.shape[1] - searched, settings.directions)
    return ContentDirections(torch.cat([found.read, padding]), torch.cat([found.write, padding]))


@torch.no_grad()
def predict_random_poses(
    generator: ImageGenerator, regressor: PoseRegressor, samples: int
) -> tuple[Float[Tensor, "samples styles"], PoseReading]:
    """w* of random samples and the poses of their images, on the CPU."""
    z = latents(_SEED, range(samples), generator.z_dim).to(device_of(generator))
    styles = torch.cat([generator.styles(generator.map(part)) for part in z.split(_BATCH)])
    readings = [regressor(generator.synthesize(part)) for part in styles.split(_BATCH)]
    fields = ("azimuth", "elevation", "height", "body_type", "color")
    return styles.cpu(), PoseReading(*(torch.cat([getattr(r, name) for r in readings]).cpu() for name in fields))


def view_targets(poses: PoseReading) -> Float[Tensor, "samples 4"]:
    """Cosine and sine of azimuth and elevation: a linear regression cannot follow an angle over the wrap-around."""
    return torch.stack([f(angle) for angle in (poses.azimuth, poses.elevation) for f in (torch.cos, torch.sin)], dim=1)


def explained_variance(
    values: Float[Tensor, "samples dims"], predictors: Float[Tensor, "samples predictors"]
) -> Float[Tensor, " dims"]:
    """R2 in [0, 1] of the linear regression (with intercept) of every column of `values` on all `predictors`.

    A column without variance has R2 0. In sample, so use many more samples than predictors.
    """
    y = _centered(values)
    explained = (_basis(predictors).T @ y).square().sum(dim=0)
    total = y.square().sum(dim=0)
    share = explained / total.clamp_min(1e-300)
    return torch.where(total > 1e-12 * len(y), share, torch.zeros_like(share)).clamp(0, 1).float()


def select_view_dims(
    styles: Float[Tensor, "samples dims"],
    targets: Float[Tensor, "samples targets"],
    content: Float[Tensor, "samples descriptors"],
    count: int,
    content_weight: float = 0.5,
) -> tuple[int, ...]:
    """The `count` style dimensions with the highest measure (above), ascending; ties go to the lower dimension.

    Args:
        styles: w* of random samples, cut to the first layers.
        targets: numbers that describe the viewpoint, such as `view_targets`.
        content: numbers that describe shape and color (size, body type one-hot, mean color).
        count: dimensions to select.
        content_weight: see above.

    Raises:
        GanverseError: there are fewer dimensions than `count`, or fewer samples than four times the numbers.
    """
    samples, dims = styles.shape
    if not 1 <= count <= dims:
        raise GanverseError(f"expected to select between 1 and {dims} view dimensions, got {count}")
    predictors = max(targets.shape[1], content.shape[1])
    if samples < 4 * predictors:
        raise GanverseError(f"expected {4 * predictors} samples or more for {predictors} predictors, got {samples}")
    scores = explained_variance(styles, targets) - content_weight * explained_variance(styles, content)
    chosen = scores.argsort(descending=True, stable=True)[:count]
    return tuple(sorted(chosen.tolist()))


def fit_content_directions(
    styles: Float[Tensor, "samples styles"],
    content: Float[Tensor, "samples descriptors"],
    view: Float[Tensor, "samples targets"],
    count: int,
    *,
    view_weight: float = 4.0,
) -> ContentDirections:
    """The `count` directions of w* that tell most of the content descriptors and least of the view targets.

    With whitened styles y (unit covariance) they are the leading eigenvectors of R_c - view_weight * R_v, where q^T R q
    is R2 of the regression of q^T y on the descriptors, or on the view targets. `write` is the covariance of w* with
    the coordinates (the smallest change in the Mahalanobis sense).

    Raises:
        GanverseError: there are too few styles or samples for `count` directions.
    """
    samples, total = styles.shape
    if not 1 <= count <= min(total, samples // 4):
        raise GanverseError(f"expected between 1 and {min(total, samples // 4)} content directions, got {count}")
    x = _centered(styles)
    covariance = x.T @ x / samples
    variance, axes = torch.linalg.eigh(covariance)
    strong = variance > _RIDGE * variance.amax()
    whiten = axes[:, strong] / variance[strong].sqrt()
    y = x @ whiten
    score = _explained(y, content) - view_weight * _explained(y, view)
    read = whiten @ torch.linalg.eigh(score)[1].flip(1)[:, :count]
    return ContentDirections(read.to(styles), (covariance @ read).to(styles))


def _explained(y: Float[Tensor, "samples axes"], predictors: Float[Tensor, "samples predictors"]) -> Tensor:
    """Matrix R with q^T R q = R2 of q^T y on the predictors, for whitened y and unit q."""
    fitted = y.T @ _basis(predictors)
    return fitted @ fitted.T / len(y)


def _basis(predictors: Float[Tensor, "samples predictors"]) -> Float[Tensor, "samples rank"]:
    """Orthonormal columns that span the centered predictors."""
    left, singular, _ = torch.linalg.svd(_centered(predictors), full_matrices=False)
    return left[:, singular > 1e-9 * singular.amax().clamp_min(1e-300)]


def _centered(values: Tensor) -> Tensor:
    return (values - values.mean(dim=0)).double()
