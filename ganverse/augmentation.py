"""Augmentation of multi-view samples, which brings GAN or world images closer to real photos.

All randomness is a pure function of (seed, sample index), computed on the images' device for whole batches. It must not
depend on the batch size or the number of processes, so backgrounds come from noise, shapes and the sample's own images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.devices import upload
from ganverse.errors import SHARE, check_ranges
from ganverse.random_streams import step_seed, uniforms

_OCTAVES = (4, 8, 16, 32)
_BOXES = 6


@dataclass(frozen=True)
class AugmentationSettings:
    """Strengths of the augmentations. 0 or False turns one off."""

    background: float = 0.7
    """Share of images whose background is replaced."""
    color: float = 1.0
    """Strength of the change in gain, gamma, white balance and saturation; shared by all views of an object."""
    mirror: bool = True
    """Mirror half of the objects, cameras included. For categories with mirror symmetry."""
    crop: float = 0.1
    """Largest image shift in NDC, and largest change of the log scale. Cameras move along."""
    noise: float = 0.0
    """Strength of blur and noise."""
    seed: int = 0
    """Seed of the augmentation."""

    def __post_init__(self) -> None:
        check_ranges(self, background=SHARE, crop=(0, 0.99))


def augmented(batch: MultiViewBatch, settings: AugmentationSettings) -> MultiViewBatch:
    """A batch with augmented images and masks, and the `placement` that its cameras must follow."""
    with torch.autocast(batch.images.device.type, enabled=False):  # half precision would misplace pixels
        images, masks, placement = augment(batch.images, batch.masks, batch.sample_index, settings)
    return replace(batch, images=images, masks=masks, placement=placement)


@torch.no_grad()
def augment(
    images: Float[Tensor, "batch views 3 height width"],
    masks: Float[Tensor, "batch views 1 height width"],
    keys: Int[Tensor, " batch"],
    settings: AugmentationSettings,
) -> tuple[
    Float[Tensor, "batch views 3 height width"],
    Float[Tensor, "batch views 1 height width"],
    Float[Tensor, "batch views 4"],
]:
    """Augmented images and masks in [0, 1], and the placement of each (see `Cameras.placed`).

    Images are both input and target. Losses compare colors inside the mask only, so a new background changes the input
    alone, and all views of an object keep one color change. keys: one number per object; together with `settings.seed`
    it determines all randomness.
    """
    shape, views, keys = masks.shape[:2], masks.shape[1], upload(keys, images.device)
    objects = _Random(settings.seed, keys, images.dtype)
    each = keys[:, None] * views + torch.arange(views, device=keys.device)
    pictures = _Random(settings.seed + 1, each.flatten(), images.dtype)
    placement = _placement(settings, objects, pictures, views)
    moved = place(torch.cat([images, masks], dim=2).flatten(0, 1), placement)
    images, masks = moved[:, :3], moved[:, 3:]
    if settings.color:
        images = _recolor(images, objects, settings.color, views)
    if settings.background:
        replaced = (pictures(1, 1, 1) < settings.background) * (1 - masks)
        images = torch.lerp(images, _backgrounds(images, masks, views, pictures), replaced)
    if settings.noise:
        images = _degrade(images, pictures, settings.noise)
    return images.unflatten(0, shape), masks.unflatten(0, shape), placement.unflatten(0, shape)


def place(
    images: Float[Tensor, "pictures c height width"], placement: Float[Tensor, "pictures 4"]
) -> Float[Tensor, "pictures c height width"]:
    """Images mirrored, scaled and shifted (see `Cameras.placed`); the border is repeated outside."""
    sign, scale, x, y = placement.unbind(dim=1)
    zero = torch.zeros_like(x)
    back = torch.stack([sign / scale, zero, -sign * x / scale, zero, 1 / scale, y / scale], dim=1)
    grid = F.affine_grid(back.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def fill(
    images: Float[Tensor, "batch 3 height width"], weights: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """Fills pixels whose weight is below 1 from their surroundings, coarse to fine (push-pull)."""
    if min(images.shape[2:]) == 1:
        return images
    color, weight = F.avg_pool2d(images * weights, 2), F.avg_pool2d(weights, 2)
    coarse = fill(color / weight.clamp_min(1e-8), (4 * weight).clamp(max=1))
    return torch.lerp(F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False), images, weights)


class _Random:
    """Uniform numbers, one row per key: a pure function of the seed, the key and the number of earlier calls."""

    def __init__(self, seed: int, keys: Int[Tensor, " rows"], dtype: torch.dtype) -> None:
        self.seed, self.keys, self.dtype, self.calls = seed, keys, dtype, 0

    def __call__(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Float[Tensor, "rows ..."]:
        self.calls += 1
        numbers = uniforms(step_seed(self.seed, self.calls), self.keys, math.prod(shape)).to(self.dtype)
        return low + (high - low) * numbers.view(-1, *shape)


def _placement(settings: AugmentationSettings, objects: _Random, pictures: _Random, views: int) -> Tensor:
    sign = 1 - 2 * (objects(1) < 0.5 * settings.mirror).to(objects.dtype).repeat_interleave(views, dim=0)
    moves = pictures(3, low=-settings.crop, high=settings.crop)
    return torch.cat([sign, moves[:, :1].exp(), moves[:, 1:]], dim=1)


def _recolor(images: Tensor, random: _Random, strength: float = 1.0, views: int = 1) -> Tensor:
    """Random gain, gamma, white balance and saturation (real objects are grayer), drawn once per `views` images."""
    change = (strength * random(6, 1, 1, low=-1)).repeat_interleave(views, dim=0)
    gray, saturation = images.mean(dim=1, keepdim=True), 1 - 0.4 * strength + 0.6 * change[:, :1]
    colors = torch.lerp(gray, images, saturation.clamp_min(0)).clamp(0, 1)
    gain = (0.4 * change[:, 1:2] + 0.15 * change[:, 2:5]).exp()
    return (gain * colors ** (0.5 * change[:, 5:]).exp()).clamp(0, 1)


def _backgrounds(images: Tensor, masks: Tensor, views: int, random: _Random) -> Tensor:
    """Ground and sky, boxes, noise of several octaves, or the enlarged and recolored background of another view."""
    pictures, _, height, width = images.shape
    y = torch.linspace(1, -1, height, dtype=images.dtype, device=images.device)[:, None]
    x = torch.linspace(-1, 1, width, dtype=images.dtype, device=images.device)
    horizon = random(1, 1, 1, low=-0.7, high=0.9) + random(1, 1, 1, low=-0.2, high=0.2) * x - y
    colors = _colors(random, 4)[..., None, None]
    sky, ground = (torch.lerp(colors[:, k], colors[:, k + 1], (1 + y) / 2) for k in (0, 2))
    behind = torch.lerp(sky, ground, (horizon * random(1, 1, 1, low=1, high=4).exp()).sigmoid())
    for _ in range(_BOXES):
        place_x, place_y, wide, high, there = random(5, 1, 1, 1, low=-1).unbind(dim=1)
        inside = ((x - place_x).abs() < 0.5 * wide.abs()) & ((y - place_y).abs() < 0.7 * high.abs()) & (there > 0)
        behind = torch.where(inside, _colors(random, 1)[:, 0, :, None, None], behind)
    grid, roughness = random(4, _OCTAVES[-1], _OCTAVES[-1], low=-1), random(1, 1, 1, low=0.4)
    grid, noise = grid[:, :1] + 0.3 * grid[:, 1:], torch.zeros_like(images)
    for octave, side in enumerate(_OCTAVES):
        coarse = grid[:, :, :side, :side]
        noise += roughness**octave * F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    behind = behind + 0.6 * random(1, 1, 1).square() * noise
    moves = random(3)
    zoom = 1.3 + 2 * moves[:, :1]
    empty = fill(images, (F.max_pool2d(masks, 3, 1, 1) < 0.05).to(masks))
    turned = empty.unflatten(0, (-1, views)).roll(1, dims=1).flatten(0, 1).flip(3)
    own = place(turned, torch.cat([torch.ones_like(zoom), zoom, (2 * moves[:, 1:] - 1) * (zoom - 1)], dim=1))
    return _recolor(torch.where(random(1, 1, 1) < 0.3, own, behind).clamp(0, 1), random)


def _colors(random: _Random, count: int) -> Tensor:
    """Colors [rows, count, 3], most of them grayish."""
    colors = random(count, 3)
    return torch.lerp(colors.mean(dim=2, keepdim=True), colors, random(count, 1).square()) * random(1, 1, low=0.5)


def _degrade(images: Tensor, random: _Random, strength: float) -> Tensor:
    """Reduces detail (half resolution), then adds fine and blotchy noise."""
    size = images.shape[2:]
    soft = F.interpolate(F.avg_pool2d(images, 2), size, mode="bilinear", align_corners=False)
    images = torch.lerp(images, soft, min(strength, 1) * random(1, 1, 1))
    for amplitude, coarse in ((0.03, 1), (0.05, 4)):
        grid = random(3, size[0] // coarse, size[1] // coarse, low=-1)
        noise = F.interpolate(grid, size, mode="bilinear", align_corners=False)
        images = images + strength * amplitude * random(1, 1, 1) * noise
    return images.clamp(0, 1)
