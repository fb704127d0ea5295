"""Does StyleGAN-R obey? Camera asked against camera measured, what a swap moves, and whether quality was kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.functional.regression import spearman_corrcoef
from torchmetrics.image.fid import FrechetInceptionDistance

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, angular_difference


class Direction(Protocol):
    """What a pose regressor must tell: `pose_regressor.PoseReading` or `Cameras`, radians."""

    @property
    def azimuth(self) -> Float[Tensor, " batch"]:
        """Azimuths in the convention of `Cameras`."""

    @property
    def elevation(self) -> Float[Tensor, " batch"]:
        """Elevations in the convention of `Cameras`."""


@dataclass(frozen=True)
class CameraControl:
    """Per image: camera measured minus camera asked, absolute, in degrees."""

    azimuth_degrees: Float[Tensor, " batch"]
    elevation_degrees: Float[Tensor, " batch"]

    @property
    def median_azimuth_degrees(self) -> float:
        """The number to show: 6 degrees or less."""
        return self.azimuth_degrees.median().item()

    @property
    def flipped(self) -> float:
        """Fraction of images whose azimuth is more than 90 degrees off: front taken for rear."""
        return (self.azimuth_degrees > 90).float().mean().item()


def camera_control(
    asked: Cameras,
    images: Float[Tensor, "batch 3 height width"],
    measure: Callable[[Float[Tensor, "batch 3 height width"]], Direction],
) -> CameraControl:
    """Compare the cameras asked for with those `measure` (a pose regressor) reads off the images."""
    measured = measure(images)
    azimuth = angular_difference(measured.azimuth, asked.azimuth).abs()
    elevation = (measured.elevation - asked.elevation).abs()
    return CameraControl(azimuth * (180 / math.pi), elevation * (180 / math.pi))


def swap_shape_iou(
    source_mask: Float[Tensor, "batch 1 height width"], swapped_mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """IoU of hard silhouettes: the shape's source from the same camera, and the image that borrowed its shape."""
    source, swapped = source_mask > 0.5, swapped_mask > 0.5
    intersection = (source & swapped).flatten(1).sum(dim=1).float()
    return intersection / (source | swapped).flatten(1).sum(dim=1).clamp_min(1)


@dataclass(frozen=True)
class SwapDistances:
    """Of images that borrowed something: how far they are from where it came from, and from what they had before."""

    to_source: Float[Tensor, " batch"]
    to_other: Float[Tensor, " batch"]

    @property
    def ratio(self) -> float:
        """Mean distance to the source / mean distance to the other: 0.5 or less shows, 1 is half way, more is unmoved.

        Of the means: between two scenes that look alike nothing can be told, and nothing is divided by next to nothing.
        """
        return (self.to_source.mean() / self.to_other.mean().clamp_min(1e-9)).item()


def swap_texture_distances(
    texture: Float[Tensor, "batch 3 tex tex"],
    source: Float[Tensor, "batch 3 tex tex"],
    other: Float[Tensor, "batch 3 tex tex"],
) -> SwapDistances:
    """L1 on the UV chart. texture: inferred from the image that was asked for with `source` instead of `other`."""
    to_source, to_other = ((texture - t).abs().mean(dim=(1, 2, 3)) for t in (source, other))
    return SwapDistances(to_source, to_other)


def swap_paint_distances(
    paint: Float[Tensor, "batch 3"], source: Float[Tensor, "batch 3"], other: Float[Tensor, "batch 3"]
) -> SwapDistances:
    """L1 of the object's one main color. paint: read off the image; source, other: off the generator's own images."""
    to_source, to_other = ((paint - color).abs().mean(dim=1) for color in (source, other))
    return SwapDistances(to_source, to_other)


def swap_background_distances(
    image: Float[Tensor, "batch 3 height width"],
    source: Float[Tensor, "batch 3 height width"],
    other: Float[Tensor, "batch 3 height width"],
    outside: Float[Tensor, "batch 1 height width"],
) -> SwapDistances:
    """L1 where `outside` is 1, that is where all three show background, from the image to what lent its background."""
    weight = outside.sum(dim=(1, 2, 3)).clamp_min(1.0) * image.shape[1]
    to_source, to_other = (((image - i).abs() * outside).sum(dim=(1, 2, 3)) / weight for i in (source, other))
    return SwapDistances(to_source, to_other)


@dataclass(frozen=True)
class Response:
    """How pictures answer a ladder of settings, row by row.

    rank: Spearman's correlation, 1 where the measured value rises with every step that was asked for; ties share ranks.
    slope: of the least-squares line, measured per asked: 1 where the setting is obeyed to its full extent. A ladder may
    have all ranks right and hardly move.
    """

    rank: Float[Tensor, " rows"]
    slope: Float[Tensor, " rows"]

    @classmethod
    def of(cls, asked: Float[Tensor, "rows steps"], measured: Float[Tensor, "rows steps"]) -> Response:
        """From both in the same units."""
        rank = torch.stack([spearman_corrcoef(m, a) for m, a in zip(measured, asked, strict=True)])
        centered = asked - asked.mean(dim=1, keepdim=True)
        return cls(rank, (centered * measured).sum(dim=1) / centered.square().sum(dim=1))


@torch.no_grad()
def frechet_distance(
    real: Iterable[Float[Tensor, "batch 3 height width"]],
    fake: Iterable[Float[Tensor, "batch 3 height width"]],
    features: nn.Module,
) -> float:
    """Frechet distance of two image sets (batches in [0, 1]) in the space of `features`: images -> [batch, dims].

    Of the images of this process alone.
    """
    metric: FrechetInceptionDistance | None = None
    for batches, is_real in ((real, True), (fake, False)):
        for batch in batches:
            if metric is None:
                size = (3, batch.shape[2], batch.shape[3])
                # Every process has all the images: with those of the others added, each would count several times.
                metric = FrechetInceptionDistance(features, normalize=True, input_img_size=size, sync_on_compute=False)
                metric = metric.to(batch.device)
            metric.update(batch, real=is_real)
    if metric is None or min(metric.real_features_num_samples, metric.fake_features_num_samples) < 2:
        raise GanverseError("expected at least two images on either side of a Frechet distance; pass more images")
    return float(metric.compute())


def quality_ratio(
    real: Iterable[Float[Tensor, "batch 3 height width"]],
    before: Iterable[Float[Tensor, "batch 3 height width"]],
    after: Iterable[Float[Tensor, "batch 3 height width"]],
    features: nn.Module,
) -> float:
    """Frechet distance to the real images after fine-tuning, divided by that of the original generator; 1 = kept."""
    real = list(real)
    return frechet_distance(real, after, features) / max(frechet_distance(real, before, features), 1e-9)
