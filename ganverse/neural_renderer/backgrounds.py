"""The background input of StyleGAN-R: an image without its object."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d


def remove_object(
    image: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
    *,
    grow: int = 2,
    fill: bool = True,
) -> Float[Tensor, "batch 3 height width"]:
    """The image with its object (mask > 0.5, grown by `grow` pixels to take the rim along) taken out.

    fill: the hole is filled smoothly from its surroundings. With fill=False it is black, as in the paper, but then
    the hole's outline tells the background network both the shape and the view. Gradients reach the image, not the
    mask.
    """
    visible = background_mask(mask, grow=grow).to(image.dtype)
    kept = image * visible
    return kept + (1 - visible) * _spread(kept, visible) if fill else kept


def background_mask(
    mask: Float[Tensor, "batch 1 height width"], *, grow: int = 2
) -> Float[Tensor, "batch 1 height width"]:
    """1 where a picture shows its background for sure, 0 on its object (mask > 0.5) and `grow` pixels round it."""
    grown = max_pool2d(mask.detach(), 2 * grow + 1, stride=1, padding=grow)
    return (grown < 0.5).to(mask.dtype)


def _spread(color: Tensor, weight: Tensor) -> Tensor:
    """Pull-push: every hole takes the mean of its visible surroundings at the finest scale that has any."""
    height, width = color.shape[-2:]
    if max(height, width) == 1:
        return color / weight.clamp_min(1e-6)
    kernel = (2 if height > 1 else 1, 2 if width > 1 else 1)
    coarse = _spread(avg_pool2d(color, kernel, ceil_mode=True), avg_pool2d(weight, kernel, ceil_mode=True))
    coarse = interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    # Weights are area fractions: a pixel that saw anything keeps what it saw.
    seen = weight > 0
    return torch.where(seen, color / weight.clamp_min(1e-6), coarse)
