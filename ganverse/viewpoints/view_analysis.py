"""Find the style dimensions of a car GAN that carry the viewpoint, with the pose regressor in place of annotations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.generators.protocol import ImageGenerator
from ganverse.random_streams import latents
from ganverse.viewpoints.correlation import select_view_dims, view_targets
from ganverse.viewpoints.directions import ContentDirections, fit_content_directions
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.proposal import Reader, ViewReading
from ganverse.viewpoints.view_codes import layer_dims


@dataclass(frozen=True)
class ViewAnalysis:
    """How the dimensions are chosen.

    layers: only the first `layers` layers are searched (the paper's 4). count: dimensions chosen (paper: 144 of 2048).
    samples: random pictures that are read. seed: stream of their latent codes. content_weight: see `correlation`.
    view_weight: see `directions`.
    """

    layers: int = 4
    count: int = 144
    samples: int = 2000
    seed: int = 3
    content_weight: float = 0.5
    view_weight: float = 5.0
    batch: int = 32


def view_dims_of(
    generator: ImageGenerator, regressor: PoseRegressor, settings: ViewAnalysis | None = None
) -> tuple[int, ...]:
    """The `count` style dimensions that tell most of the viewpoint and least of shape and paint; deterministic."""
    settings = settings or ViewAnalysis()
    styles, reading = read_random_samples(generator, regressor, settings)
    searched = styles[:, list(layer_dims(generator.style_sizes, settings.layers))]
    targets = view_targets(reading.azimuth, reading.elevation)
    return select_view_dims(
        searched, targets, content_descriptors(reading), settings.count, content_weight=settings.content_weight
    )


def content_directions_of(
    generator: ImageGenerator, regressor: PoseRegressor, settings: ViewAnalysis, count: int
) -> ContentDirections:
    """The `count` directions of the first `settings.layers` layers that stay with the object; deterministic.

    For `generators.protocol.SubspaceGenerator`.
    """
    styles, reading = read_random_samples(generator, regressor, settings)
    return fit_content_directions(
        styles,
        content_descriptors(reading),
        view_targets(reading.azimuth, reading.elevation),
        count,
        searched=sum(generator.style_sizes[: settings.layers]),
        view_weight=settings.view_weight,
    )


@torch.no_grad()
def read_random_samples(
    generator: ImageGenerator, regressor: PoseRegressor, settings: ViewAnalysis
) -> tuple[Float[Tensor, "samples styles"], PoseReading]:
    """w* of random samples and what their pictures show."""
    device = next(iter(generator.parameters())).device if isinstance(generator, nn.Module) else torch.device("cpu")
    z = latents(settings.seed, range(settings.samples), generator.z_dim).to(device)
    styles = torch.cat([generator.styles(generator.map(part)) for part in z.split(settings.batch)])
    readings = [regressor(generator.synthesize(part)) for part in styles.split(settings.batch)]
    fields = ("azimuth", "elevation", "height", "body_type", "color")
    return styles, PoseReading(*(torch.cat([getattr(r, name) for r in readings]) for name in fields))


def pose_reader(regressor: PoseRegressor) -> Reader:
    """The regressor as the eye of `propose_view_codes`."""

    def read(images: Float[Tensor, "batch 3 height width"]) -> ViewReading:
        reading = regressor(images)
        return ViewReading(reading.azimuth, content_aspects(reading))

    return read


def content_aspects(reading: PoseReading) -> tuple[Float[Tensor, "samples _"], ...]:
    """Height, probability of every body type, and RGB paint."""
    return reading.height[:, None], reading.body_type.softmax(dim=1), reading.color


def content_descriptors(reading: PoseReading) -> Float[Tensor, "samples descriptors"]:
    """Shape and color as numbers: the columns of `content_aspects`."""
    return torch.cat(content_aspects(reading), dim=1)
