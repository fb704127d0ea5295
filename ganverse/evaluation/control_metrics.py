"""Does StyleGAN-R obey? Camera asked against camera measured, what a swap moves, and whether quality was kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
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


def swap_texture_ratio(
    texture: Float[Tensor, "batch 3 tex tex"],
    source: Float[Tensor, "batch 3 tex tex"],
    other: Float[Tensor, "batch 3 tex tex"],
) -> Float[Tensor, " batch"]:
    """L1 on the UV chart from the re-inferred texture to its source, divided by that to the other; 0.5 or less shows.

    texture: inferred from the image that borrowed `source` and whose own texture was `other`.
    """
    to_source, to_other = ((texture - t).abs().mean(dim=(1, 2, 3)) for t in (source, other))
    return to_source / to_other.clamp_min(1e-6)


def swap_background_ratio(
    image: Float[Tensor, "batch 3 height width"],
    source: Float[Tensor, "batch 3 height width"],
    other: Float[Tensor, "batch 3 height width"],
    objects: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """L1 outside all objects from the image to its background's source, divided by that to the other image.

    objects: 1 wherever any of the three images shows its object (the maximum of their masks).
    """
    outside = (objects < 0.5).float()
    to_source, to_other = (((image - i).abs() * outside).sum(dim=(1, 2, 3)) for i in (source, other))
    return to_source / to_other.clamp_min(1e-6)


@torch.no_grad()
def frechet_distance(
    real: Iterable[Float[Tensor, "batch 3 height width"]],
    fake: Iterable[Float[Tensor, "batch 3 height width"]],
    features: nn.Module,
) -> float:
    """Frechet distance of two image sets (batches in [0, 1]) in the space of `features`: images -> [batch, dims]."""
    metric: FrechetInceptionDistance | None = None
    for batches, is_real in ((real, True), (fake, False)):
        for batch in batches:
            if metric is None:
                metric = FrechetInceptionDistance(
                    features, normalize=True, input_img_size=(3, batch.shape[2], batch.shape[3])
                )
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
