"""How good a multi-view source a generator is: is a view code one view, and is a content code one object?

A grid of objects x view codes is rendered and read by the pose regressor. Good: at a fixed view code all objects look
the same way (small azimuth spread, no flips), and height, body type and paint vary with the object, not with the view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import angular_difference
from ganverse.random_streams import latents
from ganverse.viewpoints.anchoring import anchor_of, content_styles, draws_per_object
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.proposal import circular_mean_and_spread
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_styles


@dataclass(frozen=True)
class GridReadings:
    """What the regressor reads off every object at every view code; angles in radians, body_type as probabilities."""

    azimuth: Float[Tensor, "objects views"]
    elevation: Float[Tensor, "objects views"]
    height: Float[Tensor, "objects views"]
    body_type: Float[Tensor, "objects views types"]
    color: Float[Tensor, "objects views 3"]


@dataclass(frozen=True)
class IdentityMetrics:
    """Both sides of the coin.

    azimuth_spread_deg: circular standard deviation over the objects at one view code, flips left out, mean over codes.
    azimuth_flips: share of pictures that look more than 90 degrees away from what their view code shows.
    annotation_deg: mean difference between what a view code shows and its annotated azimuth.
    identity_*: share of the variance that the object explains (1 is perfect); view_*: share that the view explains.
    """

    azimuth_spread_deg: float
    azimuth_flips: float
    annotation_deg: float
    identity_height: float
    identity_type: float
    identity_color: float
    view_height: float
    view_type: float
    view_color: float


def gan_identity_metrics(
    generator: ImageGenerator,
    codes: ViewCodes,
    regressor: PoseRegressor,
    *,
    objects: int = 100,
    seed: int = 2,
    batch: int = 32,
) -> IdentityMetrics:
    """Measure `generator` at all view codes with `objects` random contents (deterministic; without noise inputs)."""
    return identity_metrics(read_grid(generator, codes, regressor, objects=objects, seed=seed, batch=batch), codes)


@torch.no_grad()
def read_grid(
    generator: ImageGenerator, codes: ViewCodes, regressor: PoseRegressor, *, objects: int, seed: int, batch: int
) -> GridReadings:
    """Render every object (latent codes of stream `seed`) at every view code and read the pictures."""
    device = next(iter(generator.parameters())).device if isinstance(generator, nn.Module) else torch.device("cpu")
    views = view_styles(generator, codes, device=device)
    anchor = anchor_of(generator, codes, device=device)
    draws = draws_per_object(anchor)
    z = latents(seed, range(objects * draws), generator.z_dim).to(device).view(objects, draws, -1)
    contents = content_styles(generator, z, codes.view_dims, anchor)
    rows = mix_styles(contents.repeat_interleave(len(codes), dim=0), views.repeat(objects, 1), codes.view_dims)
    readings = [regressor(generator.synthesize(part)) for part in rows.split(batch)]
    shape = (objects, len(codes))
    return GridReadings(
        torch.cat([r.azimuth for r in readings]).view(shape),
        torch.cat([r.elevation for r in readings]).view(shape),
        torch.cat([r.height for r in readings]).view(shape),
        torch.cat([r.body_type.softmax(dim=1) for r in readings]).view(*shape, -1),
        torch.cat([r.color for r in readings]).view(*shape, 3),
    )


def identity_metrics(grid: GridReadings, codes: ViewCodes) -> IdentityMetrics:
    """The numbers behind a grid of readings."""
    shown, spread, flips = consensus(grid.azimuth.T)
    annotated = codes.azimuth_degrees.deg2rad().to(shown.device)
    height, height_view = explained_shares(grid.height[..., None])
    kind, kind_view = explained_shares(grid.body_type)
    color, color_view = explained_shares(grid.color)
    return IdentityMetrics(
        azimuth_spread_deg=spread.rad2deg().mean().item(),
        azimuth_flips=flips.mean().item(),
        annotation_deg=angular_difference(shown, annotated).abs().rad2deg().mean().item(),
        identity_height=height,
        identity_type=kind,
        identity_color=color,
        view_height=height_view,
        view_type=kind_view,
        view_color=color_view,
    )


def consensus(
    azimuth: Float[Tensor, "views objects"],
) -> tuple[Float[Tensor, " views"], Float[Tensor, " views"], Float[Tensor, " views"]]:
    """Per view code: the azimuth most objects show, the spread of those that agree, and the share of flips.

    A flip is more than 90 degrees away. Front and rear are told apart by majority: the axis comes from doubled angles
    (on which a flip is invisible), its direction from the larger half.
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


def explained_shares(values: Float[Tensor, "objects views dims"]) -> tuple[float, float]:
    """Two-way analysis of variance without interaction: shares of the total variance explained by object and by view.

    What is left to 1 is interaction and noise. Dimensions are summed, so a constant one has no say.
    """
    centered = values - values.mean(dim=(0, 1))
    total = centered.square().mean(dim=(0, 1)).sum().clamp_min(1e-12)
    by_object = centered.mean(dim=1).square().mean(dim=0).sum() / total
    by_view = centered.mean(dim=0).square().mean(dim=0).sum() / total
    return by_object.item(), by_view.item()
