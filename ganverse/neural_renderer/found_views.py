"""Found views: random view codes of the GAN with fitted cameras, as additional training data for g_v.

A few dozen annotated codes show each azimuth at one elevation only, which does not determine the effect of elevation.
Every random w* of the GAN has some view. Its camera is fitted with DIB-R, like those of the camera table: objects with
shape and texture predicted from an annotated view are rendered, and the camera moves until the renders match the GAN's
images of them under the new view. The camera predicted by f is only the start, because f was trained on the table's
cameras and predicts one of these, or something between them. Not in the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.devices import upload
from ganverse.errors import AT_LEAST_1, POSITIVE, SHARE, check_ranges
from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.losses import color_loss, silhouette_loss
from ganverse.inverse.network import Reconstruction
from ganverse.inverse.objective import SOFT
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene, draw_contents
from ganverse.rendering import SHARP, SoftMaskSettings, render
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_latents, view_styles

CAMERA_NUMBERS = 5
_FIRST_SEED = 1_000_000
_PER_FIT = 16
_SECTORS, _ENOUGH = 12, 4
_SOFT_STEPS = 0.6


@dataclass(frozen=True)
class FoundViewSettings:
    """Views in addition to the annotated ones."""

    candidates: int = 400
    """Number of random view codes tried; 0 = none, as in the paper."""
    objects: int = 4
    """Objects synthesized under each view code."""
    steps: int = 25
    """Steps of the camera fit."""
    rate: float = 0.02
    """Learning rate of the camera fit (Adam; radians and logarithms)."""
    kept: float = 0.4
    """Share of the candidates kept in every azimuth sector: those whose renders fit best."""
    worst: float = 2.0
    """Largest loss of a kept view, relative to the median loss of the annotated codes."""
    share: float = 0.35
    """Share of the training scenes under a found view instead of an annotated one."""

    def __post_init__(self) -> None:
        check_ranges(self, objects=AT_LEAST_1, rate=POSITIVE, kept=SHARE, share=SHARE)


@dataclass(frozen=True)
class FoundViews:
    """styles: of the view dimensions. cameras: as numbers (`camera_numbers`). weights: relative frequency of each view.

    Rejected views have weight 0. The weights of all azimuth sectors with enough views have the same sum.
    """

    styles: Float[Tensor, "views dims"]
    cameras: Float[Tensor, "views 5"]
    weights: Float[Tensor, " views"]

    def choose(self, chance: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Row indices drawn by the weights; `chance` in [0, 1)."""
        reached = self.weights.cumsum(0)
        return torch.searchsorted(reached, chance * reached[-1], right=True).clamp_max(len(reached) - 1)


def camera_numbers(cameras: Cameras) -> Float[Tensor, "batch 5"]:
    """Azimuth, elevation, log distance, offset: the fitted parameters."""
    angles_and_distance = torch.stack([cameras.azimuth, cameras.elevation, cameras.distance.log()], dim=1)
    return torch.cat([angles_and_distance, cameras.offset], dim=1)


def cameras_from_numbers(numbers: Float[Tensor, "batch 5"]) -> Cameras:
    """Inverse of `camera_numbers`."""
    return Cameras(numbers[:, 0], numbers[:, 1], numbers[:, 2].exp(), numbers[:, 3:])


@torch.no_grad()
def find_views(
    generator: ImageGenerator, codes: ViewCodes, networks: FrozenNetworks, settings: FoundViewSettings, seed: int
) -> FoundViews:
    """Draws candidates, fits their cameras and keeps the best of every sector; a pure function of the seed."""
    device = networks.cameras.all().azimuth.device
    seeds = range(_FIRST_SEED, _FIRST_SEED + settings.candidates)
    latents = view_latents(seeds, generator.z_dim).to(device)
    styles = generator.styles(generator.map(latents))[:, list(codes.view_dims)]
    annotated = view_styles(generator, codes, device=device)
    contents = draw_contents(generator, settings.objects, seed, device)
    known = networks.inverse(_synthesize(generator, codes, contents, annotated))
    cameras, losses = [], []
    for part in torch.cat([annotated, styles]).split(_PER_FIT):
        images = _synthesize(generator, codes, contents, part)
        fitted, loss = _fit(networks, known, images, settings)
        cameras.append(fitted)
        losses.append(loss)
    again, numbers = torch.cat(cameras).tensor_split([len(codes)])
    usual, loss = torch.cat(losses).tensor_split([len(codes)])
    # The annotated codes' cameras are known: their mean error is the bias of this fit.
    bias = again - camera_numbers(networks.cameras.all())
    bias[:, 0] = 0
    numbers = numbers - bias.median(dim=0).values
    return FoundViews(styles, numbers, view_weights(numbers[:, 0], loss / usual.median(), settings))


def _synthesize(
    generator: ImageGenerator,
    codes: ViewCodes,
    contents: Float[Tensor, "objects styles"],
    views: Float[Tensor, "views dims"],
) -> Float[Tensor, "views_objects 3 height width"]:
    """Every object under every view, grouped by view."""
    rows = mix_styles(contents.repeat(len(views), 1), views.repeat_interleave(len(contents), dim=0), codes.view_dims)
    return torch.cat([generator.synthesize(part) for part in rows.split(_PER_FIT)])


def _fit(
    networks: FrozenNetworks,
    known: Reconstruction,
    images: Float[Tensor, "views_objects 3 height width"],
    settings: FoundViewSettings,
) -> tuple[Float[Tensor, "views 5"], Float[Tensor, " views"]]:
    """Cameras of views, and the loss of the renders plus the spread of the predicted azimuths.

    known: f's predictions of the objects under every annotated code, grouped by code.
    """
    masks = networks.segmenter.probability(images)
    start, apart = _mean_camera(networks.inverse(images).camera, settings.objects)
    with torch.enable_grad():
        numbers = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([numbers], lr=settings.rate, betas=(0.8, 0.95))
        for step in range(settings.steps):
            optimizer.param_groups[0]["lr"] = settings.rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            optimizer.zero_grad()
            rim = SOFT if step < _SOFT_STEPS * settings.steps else SHARP
            _losses(networks, known, images, masks, numbers, rim).sum().backward()
            optimizer.step()
    numbers = numbers.detach()
    return numbers, _losses(networks, known, images, masks, numbers, SHARP) + apart


def _mean_camera(cameras: Cameras, objects: int) -> tuple[Float[Tensor, "views 5"], Float[Tensor, " views"]]:
    """Mean over all objects of every view (circular for the azimuth), and the azimuths' circular variance."""
    numbers = camera_numbers(cameras).unflatten(0, (-1, objects))
    sine, cosine = numbers[..., 0].sin().mean(dim=1), numbers[..., 0].cos().mean(dim=1)
    mean = torch.cat([torch.atan2(sine, cosine)[:, None], numbers[..., 1:].mean(dim=1)], dim=1)
    return mean, 1 - torch.hypot(sine, cosine)


def _losses(
    networks: FrozenNetworks,
    known: Reconstruction,
    images: Float[Tensor, "views_objects 3 height width"],
    masks: Float[Tensor, "views_objects 1 height width"],
    numbers: Float[Tensor, "views 5"],
    rim: SoftMaskSettings,
) -> Float[Tensor, " views"]:
    """Color and silhouette loss of the objects as predicted under the annotated code of the nearest azimuth."""
    azimuth, annotated = torch.broadcast_tensors(numbers.detach()[:, :1], networks.cameras.all().azimuth)
    nearest = angular_difference(azimuth, annotated).abs().argmin(dim=1)
    objects = len(images) // len(numbers)
    seen = known[(nearest[:, None] * objects + torch.arange(objects, device=nearest.device)).flatten()]
    cameras, size = cameras_from_numbers(numbers.repeat_interleave(objects, dim=0)), images.shape[-1]
    rendered = render(networks.inverse.mesh(seen), seen.texture, cameras, seen.light, size=size, silhouette=rim)
    loss = color_loss(rendered.rgb, images, masks) + silhouette_loss(rendered.alpha, masks)
    return loss.view(len(numbers), -1).mean(dim=1)


def view_weights(
    azimuth: Float[Tensor, " views"], losses: Float[Tensor, " views"], settings: FoundViewSettings
) -> Float[Tensor, " views"]:
    """Relative frequency of each view (see `FoundViews`); losses: relative to those of the annotated codes."""
    sector = (azimuth.rad2deg() * _SECTORS / 360).floor().long() % _SECTORS
    weights = torch.zeros_like(losses)
    for number in range(_SECTORS):
        rows = (sector == number).nonzero()[:, 0]
        best = rows[losses[rows].argsort()[: math.ceil(settings.kept * len(rows))]]
        best = best[losses[best] <= settings.worst]
        # A single view, which may be wrong, cannot represent a whole sector.
        weights[best] = 1 / max(len(best), _ENOUGH)
    return weights


@torch.no_grad()
def under_found_views(
    scene: TrainingScene,
    found: FoundViews,
    generator: ImageGenerator,
    codes: ViewCodes,
    networks: FrozenNetworks,
    chance: Float[Tensor, "batch 2"],
    *,
    share: float,
    own_texture: bool,
) -> TrainingScene:
    """Replaces some scenes' annotated views by found ones, with images of the frozen generator.

    chance: in [0, 1), on the CPU, selects scenes and views. own_texture: as in `read_training_scene`.
    """
    device, chosen = scene.images.device, chance[:, 0] < share
    if not chosen.any():
        return scene
    rows, chosen = upload(chosen.nonzero()[:, 0], device), found.choose(upload(chance[chosen, 1], device))
    styles = mix_styles(scene.styles[rows], found.styles[chosen], codes.view_dims)
    # Mixed-precision training gives images of another dtype than the stream's.
    images = generator.synthesize(styles).to(scene.images)
    cameras = camera_numbers(scene.inputs.cameras).index_copy(0, rows, found.cameras[chosen])
    inputs = scene.inputs.seen_from(cameras_from_numbers(cameras))
    if own_texture:
        texture = inputs.texture.index_copy(0, rows, networks.inverse(images).texture.to(inputs.texture))
        inputs = replace(inputs, texture=texture)
    return replace(
        scene,
        inputs=inputs,
        styles=scene.styles.index_copy(0, rows, styles),
        images=scene.images.index_copy(0, rows, images),
        masks=scene.masks.index_copy(0, rows, networks.segmenter.probability(images).to(scene.masks)),
    )
