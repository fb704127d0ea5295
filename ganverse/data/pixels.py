"""8-bit pixels: what is kept of a generated image, in memory and on disk, so that both are the same bit for bit."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_bytes(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[0, 1] to the nearest of 256 steps; values outside are clamped."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def from_bytes(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of `to_bytes` on its grid: float32 in [0, 1]."""
    return pixels.float() / 255


def quantize(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images as they look after a round trip through an 8-bit file."""
    return from_bytes(to_bytes(images))
