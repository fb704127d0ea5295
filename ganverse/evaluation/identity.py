"""Quality of a generator as a multi-view source: does a view code fix the viewpoint, and a content code the object?

A pose regressor measures a grid of objects x view codes. In a good source all objects of a view code face the same way
(small azimuth spread, no flips), and height, body type and color vary with the object, not with the view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.devices import device_of
from ganverse.evaluation.metrics import Score, interval, resampled_indices
from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.random_streams import latents
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.proposal import circular_mean_and_spread
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_styles
from ganverse.worlds.scene import framing_distance

_RESAMPLES = 200


@dataclass(frozen=True)
class PoseGrid:
    """Predictions for every object at every view code; angles in radians, body_type as probabilities."""

    azimuth: Float[Tensor, "objects views"]
    elevation: Float[Tensor, "objects views"]
    height: Float[Tensor, "objects views"]
    body_type: Float[Tensor, "objects views types"]
    color: Float[Tensor, "objects views 3"]

    def __getitem__(self, objects: Int[Tensor, " chosen"]) -> PoseGrid:
        return PoseGrid(*(getattr(self, field.name)[objects] for field in fields(self)))


@torch.no_grad()
def predict_grid(
    generator: ImageGenerator, codes: ViewCodes, regressor: PoseRegressor, *, objects: int, seed: int, batch: int
) -> PoseGrid:
    """Synthesizes every object (latent codes of stream `seed`) at every view code and predicts the poses."""
    device = device_of(generator)
    views = view_styles(generator, codes, device=device)
    contents = generator.styles(generator.map(latents(seed, range(objects), generator.z_dim).to(device)))
    rows = mix_styles(contents.repeat_interleave(len(codes), dim=0), views.repeat(objects, 1), codes.view_dims)
    found = [regressor(generator.synthesize(part).to(device_of(regressor))) for part in rows.split(batch)]
    shape = (objects, len(codes))
    return PoseGrid(
        torch.cat([pose.azimuth for pose in found]).view(shape),
        torch.cat([pose.elevation for pose in found]).view(shape),
        torch.cat([pose.height for pose in found]).view(shape),
        torch.cat([pose.body_type.softmax(dim=1) for pose in found]).view(*shape, -1),
        torch.cat([pose.color for pose in found]).view(*shape, 3),
    )


def identity_scores(grid: PoseGrid) -> dict[str, Score]:
    """`identity_metrics` with intervals from resampled objects."""
    count = len(grid.azimuth)
    again = [identity_metrics(grid[objects]) for objects in resampled_indices(count, _RESAMPLES)]
    resamples = {name: torch.tensor([one[name] for one in again], dtype=torch.float64) for name in again[0]}
    whole = identity_metrics(grid)
    return {name: Score(value, *interval(resamples[name]), count) for name, value in whole.items()}


def identity_metrics(grid: PoseGrid) -> dict[str, float]:
    """Consistency of views and objects.

    azimuth_spread_deg: circular standard deviation over the objects of a view code, without flips, mean over codes.
    azimuth_flips: share of images over 90 degrees away from what their view code shows. identity_*: share of the
    variance explained by the object (1 is perfect).
    """
    _, spread, flips = consensus(grid.azimuth.T)
    return {
        "azimuth_spread_deg": spread.rad2deg().mean().item(),
        "azimuth_flips": flips.mean().item(),
        "identity_height": explained_share(grid.height[..., None]),
        "identity_type": explained_share(grid.body_type),
        "identity_color": explained_share(grid.color),
    }


def measured_cameras(grid: PoseGrid) -> Cameras:
    """Cameras of the view codes as predicted by the regressor, in the true world.

    Azimuths by majority, elevations by median. Images do not reveal distances, so they are those that frame a car in
    the car world.
    """
    azimuth, _, _ = consensus(grid.azimuth.T)
    elevation = grid.elevation.median(dim=0).values
    distance = framing_distance(azimuth.cpu(), elevation.cpu()).to(azimuth)
    return Cameras(azimuth, elevation, distance, azimuth.new_zeros(len(azimuth), 2))


def consensus(
    azimuth: Float[Tensor, "views objects"],
) -> tuple[Float[Tensor, " views"], Float[Tensor, " views"], Float[Tensor, " views"]]:
    """For each view code the azimuth that most objects show, the spread of those that agree, and the share of flips.

    A flip is over 90 degrees away. The majority decides front or rear: the axis comes from doubled angles (on which a
    flip is invisible), its direction from the larger half.
    """
    axis, _ = circular_mean_and_spread(2 * azimuth)
    axis = axis / 2
    agrees = angular_difference(azimuth, axis[:, None].expand_as(azimuth)).abs() <= math.pi / 2
    minority = agrees.float().mean(dim=1) < 0.5
    agrees = agrees ^ minority[:, None]
    weight = agrees.to(azimuth.dtype)
    count = weight.sum(dim=1)
    cosine, sine = ((weight * part).sum(dim=1) / count for part in (azimuth.cos(), azimuth.sin()))
    length = torch.hypot(cosine, sine).clamp(1e-6, 1.0)
    return torch.atan2(sine, cosine), (-2 * length.log()).clamp_min(0).sqrt(), 1 - weight.mean(dim=1)


def explained_share(values: Float[Tensor, "objects views dims"]) -> float:
    """Two-way analysis of variance without interaction: share of the total variance explained by the object.

    The remainder to 1 is view, interaction and noise. Dimensions are summed, so a constant one has no effect.
    """
    centered = values - values.mean(dim=(0, 1))
    total = centered.square().mean(dim=(0, 1)).sum().clamp_min(1e-12)
    return (centered.mean(dim=1).square().mean(dim=0).sum() / total).item()
