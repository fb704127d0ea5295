"""Augment training pairs so that a segmenter trained on renders also works on a GAN's images.

A GAN's images are softer, noisier and more distorted than renders, and have other backgrounds. Every function draws
from one `torch.Generator` (on the images' device), works on whole batches and keeps image and mask aligned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def augment(
    images: Float[Tensor, "batch 3 height width"],
    masks: Float[Tensor, "batch 1 height width"],
    random: torch.Generator,
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 height width"]]:
    """Images and masks in [0, 1], mirrored, warped, recolored, on other backgrounds, blurred and noisy."""
    images, masks = _mirror(images, masks, random)
    images, masks = _warp(images, masks, random)
    background = _mixed_background(images, masks, random)
    images = masks * _recolor(images, random) + (1 - masks) * background
    return _degrade(_recolor(images, random), random).clamp(0, 1), masks


def _uniform(batch: int, low: float, high: float, random: torch.Generator, channels: int = 1) -> Tensor:
    return low + (high - low) * torch.rand(batch, channels, 1, 1, generator=random, device=random.device)


def _normal(*shape: int, random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, device=random.device)


def _sometimes(batch: int, probability: float, random: torch.Generator) -> Tensor:
    return (_uniform(batch, 0, 1, random) < probability).float()


def _mirror(images: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    flip = _sometimes(len(images), 0.5, random) > 0
    return torch.where(flip, images.flip(3), images), torch.where(flip, masks.flip(3), masks)


def _warp(images: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift, zoom and a smooth elastic warp of a few per cent of the image."""
    batch, _, height, width = images.shape
    zoom = _uniform(batch, 0.8, 1.15, random)[:, 0, :, :, None]
    shift = 0.08 * _normal(batch, 1, 1, 2, random=random)
    coarse = 0.03 * _uniform(batch, 0, 1, random) * _normal(batch, 2, 5, 5, random=random)
    warp = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    identity = F.affine_grid(torch.eye(2, 3, device=images.device)[None], [1, 1, height, width], align_corners=False)
    warped = F.grid_sample(
        torch.cat([images, masks], dim=1), identity * zoom + shift + warp, padding_mode="border", align_corners=False
    )
    return warped[:, :3], warped[:, 3:]


def _mixed_background(images: Tensor, masks: Tensor, random: torch.Generator) -> Tensor:
    """The own background, recolored; another image's, filled in where its object was; or blotches of color."""
    batch, _, height, width = images.shape
    own = _recolor(images, random)
    other = _fill(images, (F.max_pool2d(masks, 3, 1, 1) < 0.05).float()).roll(1, dims=0)
    colors = torch.rand(batch, 3, 6, 6, generator=random, device=random.device)
    blotches = F.interpolate(colors, (height, width), mode="bicubic")
    choice = _uniform(batch, 0, 1, random)
    return torch.where(choice < 0.65, own, torch.where(choice < 0.95, other, blotches))


def _fill(images: Tensor, weights: Tensor) -> Tensor:
    """Fills the pixels of weight 0 from their surroundings, coarse to fine (a push-pull pyramid)."""
    color, weight = images * weights, weights
    if images.shape[2] > 4:
        small_color, small_weight = F.avg_pool2d(color, 2), F.avg_pool2d(weight, 2)
        coarse = _fill(small_color / small_weight.clamp_min(1e-3), (small_weight > 1e-3).float())
        below = F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
        return color + (1 - weight) * below
    return color + (1 - weight) * images.mean(dim=(2, 3), keepdim=True)


def _recolor(images: Tensor, random: torch.Generator) -> Tensor:
    """Brightness, contrast and a tint per image."""
    batch = len(images)
    contrast = _uniform(batch, 0.75, 1.25, random)
    tint = _uniform(batch, 0.85, 1.15, random, channels=3)
    shift = _uniform(batch, -0.08, 0.08, random)
    return ((images - 0.5) * contrast + 0.5) * tint + shift


def _degrade(images: Tensor, random: torch.Generator) -> Tensor:
    """Loses detail (half resolution), then adds fine and blotchy noise."""
    batch, _, height, width = images.shape
    soft = F.interpolate(F.avg_pool2d(images, 2), (height, width), mode="bilinear", align_corners=False)
    images = torch.lerp(images, soft, _uniform(batch, 0, 1, random) * _sometimes(batch, 0.7, random))
    fine = _normal(*images.shape, random=random)
    blotchy = F.interpolate(fine[:, :, ::4, ::4], (height, width), mode="bilinear", align_corners=False)
    return images + 0.02 * _uniform(batch, 0, 1, random) * fine + 0.03 * _uniform(batch, 0, 1, random) * blotchy
