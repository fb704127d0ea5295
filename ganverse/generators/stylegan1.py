"""StyleGAN1's generator (Karras et al. 2019), most likely the paper's car model; written from the paper.

Every convolution is followed by noise, bias, leaky ReLU and adaptive instance normalization (equation 1). A final
convolution makes the colors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.generators.layers import ACTIVATION_GAIN, SLOPE, EqualizedLinear, blur
from ganverse.generators.style_based import ImportedConfig, ImportedGenerator, StyledLayer

FUSED_SIDE = 128
"""From this output size on, upsampling is a transposed convolution, whose kernel is rotated by 180 degrees."""


@dataclass(frozen=True)
class StyleGAN1Config(ImportedConfig):
    """StyleGAN1 has no settings of its own."""


class Epilogue(StyledLayer):
    """noise -> bias -> leaky ReLU -> instance normalization -> x * (style_scale + 1) + style_offset."""

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.noise_weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualizedLinear(w_dim, 2 * channels)
        self.style_size = 2 * channels

    def forward(
        self,
        x: Float[Tensor, "batch channels side side"],
        style: Float[Tensor, "batch two_channels"],
        noise: Float[Tensor, "#batch 1 side side"] | None,
    ) -> Float[Tensor, "batch channels side side"]:
        """Styled features; the style is (scales, offsets)."""
        if noise is not None:
            x = x + noise * self.noise_weight[:, None, None]
        x = F.leaky_relu(x + self.bias[:, None, None], SLOPE)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * torch.rsqrt(x.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
        scale, offset = style[:, :, None, None].chunk(2, dim=1)
        return x * (scale + 1.0) + offset


class Block(nn.Module):
    """One resolution: (convolution, epilogue) twice; at 4 px the first convolution is the learned constant.

    The first convolution upsamples, then blurs with [1, 2, 1].
    """

    def __init__(self, inputs: int | None, outputs: int, side: int, w_dim: int) -> None:
        super().__init__()
        self.up = None if inputs is None else nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.conv = nn.Parameter(torch.randn(outputs, outputs, 3, 3))
        self.epilogue0 = Epilogue(outputs, w_dim)
        self.epilogue1 = Epilogue(outputs, w_dim)
        self._fused = side >= FUSED_SIDE

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        styles: Sequence[Float[Tensor, "batch _"]],
        noise: Sequence[Float[Tensor, "#batch 1 side side"] | None],
    ) -> Float[Tensor, "batch outputs side side"]:
        """Features of this resolution from those of the previous one (at 4 px: the constant)."""
        if self.up is not None:
            x = blur(enlarge(x, _scaled(self.up), fused=self._fused), (1.0, 2.0, 1.0))
        x = self.epilogue0(x, styles[0], noise[0])
        x = F.conv2d(x, _scaled(self.conv), padding=1)
        out: Tensor = self.epilogue1(x, styles[1], noise[1])
        return out


def enlarge(
    x: Float[Tensor, "batch inputs height width"], weight: Float[Tensor, "outputs inputs 3 3"], *, fused: bool
) -> Float[Tensor, "batch outputs height2 width2"]:
    """Repeats every pixel 2 x 2 and convolves; `fused` rotates the kernel by 180 degrees.

    Both are one transposed convolution whose 4x4 kernel is the sum of four shifted copies of the 3x3 kernel.
    """
    kernel = weight if fused else weight.flip(2, 3)
    summed = 4.0 * F.avg_pool2d(F.pad(kernel, (1, 1, 1, 1)), 2, stride=1)
    return F.conv_transpose2d(x, summed.transpose(0, 1), stride=2, padding=1)


def _scaled(weight: Tensor) -> Tensor:
    return weight * (ACTIVATION_GAIN / math.sqrt(weight[0].numel()))


class StyleGAN1Generator(ImportedGenerator):
    """Layers 2k and 2k+1 of W+ drive the two epilogues of block k, (scales, offsets) each."""

    config: StyleGAN1Config

    def __init__(self, config: StyleGAN1Config) -> None:
        sides = [4 * 2**k for k in range(len(config.channels))]
        super().__init__(config, [side for side in sides for _ in range(2)], amplify_bias=False)
        self.start = nn.Parameter(torch.ones(1, config.channels[0], 4, 4))
        inputs = (None, *config.channels[:-1])
        self.blocks = nn.ModuleList(
            Block(i, o, side, config.w_dim) for i, o, side in zip(inputs, config.channels, sides, strict=True)
        )
        self.color_weight = nn.Parameter(torch.randn(3, config.channels[-1], 1, 1))
        self.color_bias = nn.Parameter(torch.zeros(3))
        self.style_sizes = self.sizes()

    def layers(self) -> list[list[StyledLayer]]:
        """Styled modules of every W+ layer, in the order of w*."""
        blocks = cast(Iterable[Block], self.blocks)
        return [[epilogue] for block in blocks for epilogue in (block.epilogue0, block.epilogue1)]

    def colors(
        self, styles: Sequence[Float[Tensor, "batch _"]], noise: Sequence[Float[Tensor, "#batch 1 _ _"] | None]
    ) -> Float[Tensor, "batch 3 side side"]:
        """Unbounded colors, nominally [-1, 1]."""
        x = self.start.expand(styles[0].shape[0], -1, -1, -1)
        for k, block in enumerate(self.blocks):
            pair = slice(2 * k, 2 * k + 2)
            x = block(x, styles[pair], noise[pair])
        return F.conv2d(x, self.color_weight / math.sqrt(x.shape[1]), self.color_bias)
