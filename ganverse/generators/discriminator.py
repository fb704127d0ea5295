"""Residual discriminator that grows with the generator (Karras et al. 2020, section 4.1; minibatch deviation: 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.layers import EqualizedConv2d, EqualizedLinear, halve


class ResidualBlock(nn.Module):
    """Halves the resolution; pools BEFORE its second convolution, which makes that one four times cheaper."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv2d(inputs, inputs, 3)
        # Both branches carry the 1/sqrt(2) of the residual sum in their weights.
        self.conv1 = EqualizedConv2d(inputs, outputs, 3, gain=1.0)
        self.skip = EqualizedConv2d(inputs, outputs, 1, activate=False, gain=math.sqrt(0.5))

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs half_h half_w"]:
        """Features at half the resolution."""
        out: Tensor = self.skip(halve(x)) + self.conv1(halve(self.conv0(x)))
        return out


Neighbors = Callable[[Tensor, int], tuple[Tensor, int]]
"""Maps a process's samples and the group size to the samples of its groups, and the index of its first own sample."""


def local_samples(x: Float[Tensor, "batch *rest"], group: int) -> tuple[Float[Tensor, "batch *rest"], int]:
    """`Neighbors` of a process whose groups contain only its own samples."""
    return x, 0


def minibatch_deviation(
    x: Float[Tensor, "batch channels height width"], group: int = 4, neighbors: Neighbors = local_samples
) -> Float[Tensor, "batch channels_and_one height width"]:
    """Appends one channel: the mean standard deviation over groups of consecutive samples."""
    rows, first = neighbors(x, group)
    group = math.gcd(len(rows), group)
    parted = rows.reshape(len(rows) // group, group, -1).to(torch.promote_types(x.dtype, torch.float32))
    centered = parted - parted.mean(dim=1, keepdim=True)
    deviation = (centered.square().mean(dim=1) + 1e-8).sqrt().mean(dim=1)
    own = deviation.repeat_interleave(group)[first : first + len(x)]
    plane = own[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, plane.to(x.dtype)], dim=1)


class Discriminator(nn.Module):
    """Images (nominally [-1, 1]) -> one logit each; `channels[i]` belongs to resolution 4 * 2**i.

    neighbors: for the minibatch deviation, whose groups may extend beyond this process.
    """

    def __init__(self, channels: tuple[int, ...], neighbors: Neighbors = local_samples) -> None:
        super().__init__()
        self.neighbors = neighbors
        self.from_rgb = nn.ModuleList(EqualizedConv2d(3, width, 1) for width in channels)
        self.blocks = nn.ModuleList(ResidualBlock(above, below) for below, above in pairwise(channels))
        width = channels[0]
        self.final_conv = EqualizedConv2d(width + 1, width, 3)
        self.final_hidden = EqualizedLinear(width * 16, width, activate=True)
        self.final_logit = EqualizedLinear(width, 1)

    def forward(self, image: Float[Tensor, "batch 3 side side"], fade: float = 1.0) -> Float[Tensor, " batch"]:
        """Logits; starts at the level of the image size.

        `fade` < 1 mixes the features of the top block with those of the half-size image at the level below.
        """
        level = self._level(image.shape[-1])
        x = self.from_rgb[level](image.contiguous(memory_format=torch.channels_last))
        if level > 0:
            x = self.blocks[level - 1](x)
            if fade < 1.0:
                x = torch.lerp(self.from_rgb[level - 1](halve(image)), x, fade)
        for block in reversed(self.blocks[: max(level - 1, 0)]):
            x = block(x)
        x = self.final_conv(minibatch_deviation(x, neighbors=self.neighbors))
        logits: Tensor = self.final_logit(self.final_hidden(x.flatten(1)))
        return logits.squeeze(1).to(image.dtype)

    def _level(self, side: int) -> int:
        sides = [4 * 2**k for k in range(len(self.from_rgb))]
        if side not in sides:
            raise GanverseError(f"expected images of {sides} px, got {side} px; resize them first")
        return sides.index(side)
