"""StyleGAN2's generator exactly as published (Karras et al. 2020a), for imported weights.

Written from the paper. `stylegan2.py` is a cheaper variant for training here, and another function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.layers import ACTIVATION_GAIN, BINOMIAL, SLOPE, EqualizedLinear, blur, upsample
from ganverse.generators.style_based import ImportedConfig, ImportedGenerator, StyledLayer, layers_of


@dataclass(frozen=True)
class PaperStyleGAN2Config(ImportedConfig):
    """Config-f is `channels = min(32768 / side, 512)` with skip connections (table 1)."""

    branches: Literal["skip", "residual"] = "skip"
    """How resolutions are combined (section 4.1): "skip" sums their colors, "residual" their features."""
    clamp: float | None = None
    """Bound of the activations, for weights trained with mixed precision (Karras et al. 2020b, appendix)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.branches not in ("skip", "residual"):
            raise GanverseError(f"expected branches skip or residual, got {self.branches!r:.40}")
        if self.clamp is not None and not self.clamp > 0:
            raise GanverseError(f"expected a positive clamp, got {self.clamp}")


class ModulatedConvolution(StyledLayer):
    """3x3 convolution with modulated and demodulated weights (section 2.2), noise, bias and leaky ReLU times `gain`."""

    def __init__(self, inputs: int, outputs: int, config: PaperStyleGAN2Config, *, up: bool, gain: float) -> None:
        super().__init__()
        self.affine = EqualizedLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.style_size = inputs
        self._up = up
        self._gain = gain * ACTIVATION_GAIN
        self._clamp = None if config.clamp is None else config.clamp * gain

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        style: Float[Tensor, "batch inputs"],
        noise: Float[Tensor, "#batch 1 height_out width_out"] | None,
    ) -> Float[Tensor, "batch outputs height_out width_out"]:
        """Noise has the output's size, twice the input's if the layer upsamples."""
        demodulation = torch.rsqrt(style.square() @ self.weight.square().sum(dim=(2, 3)).t() + 1e-8)
        out = self._convolve(x * style[:, :, None, None]) * demodulation[:, :, None, None]
        if noise is not None:
            out = out + noise * self.noise_strength
        out = F.leaky_relu(out + self.bias[:, None, None], SLOPE) * self._gain
        return out if self._clamp is None else out.clamp(-self._clamp, self._clamp)

    def _convolve(self, x: Tensor) -> Tensor:
        weight = cast(Tensor, self.weight)
        if not self._up:
            return F.conv2d(x, weight, padding=1)
        # A transposed convolution gives 2 side + 1 pixels, which the filter reduces to 2 side.
        return 4.0 * blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), BINOMIAL)


class ToRGB(StyledLayer):
    """Modulated 1x1 convolution to RGB, without demodulation and noise."""

    def __init__(self, inputs: int, config: PaperStyleGAN2Config) -> None:
        super().__init__()
        self.affine = EqualizedLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.style_size = inputs
        self._weight_gain = 1.0 / math.sqrt(inputs)
        self._clamp = config.clamp

    def forward(
        self, x: Float[Tensor, "batch inputs height width"], style: Float[Tensor, "batch inputs"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Unbounded colors; 0 is mid-gray."""
        out = F.conv2d(x * (style * self._weight_gain)[:, :, None, None], self.weight, self.bias)
        return out if self._clamp is None else out.clamp(-self._clamp, self._clamp)


class Block(nn.Module):
    """One resolution: an upsampling convolution (except at 4 px), a convolution, colors, a residual branch."""

    def __init__(self, inputs: int | None, outputs: int, config: PaperStyleGAN2Config, *, top: bool) -> None:
        super().__init__()
        residual = config.branches == "residual" and inputs is not None
        gain = math.sqrt(0.5) if residual else 1.0
        self.conv0 = None if inputs is None else ModulatedConvolution(inputs, outputs, config, up=True, gain=1.0)
        self.conv1 = ModulatedConvolution(outputs, outputs, config, up=False, gain=gain)
        self.to_rgb = ToRGB(outputs, config) if top or config.branches == "skip" else None
        self.skip = nn.Parameter(torch.randn(outputs, inputs or 0, 1, 1)) if residual else None

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        image: Float[Tensor, "batch 3 height width"] | None,
        styles: Iterator[Tensor],
        noise: Iterator[Tensor | None],
    ) -> tuple[
        Float[Tensor, "batch outputs height_out width_out"], Float[Tensor, "batch 3 height_out width_out"] | None
    ]:
        """Features, and the image so far plus this block's colors; takes styles and noise in order."""
        below = x
        if self.conv0 is not None:
            x = self.conv0(x, next(styles), next(noise))
        x = self.conv1(x, next(styles), next(noise))
        if self.skip is not None:
            weight = self.skip * math.sqrt(0.5 / self.skip.shape[1])
            x = x + upsample(F.conv2d(below, weight))
        image = None if image is None else upsample(image)
        if self.to_rgb is not None:
            colors = self.to_rgb(x, next(styles))
            image = colors if image is None else image + colors
        return x, image


class PaperStyleGAN2Generator(ImportedGenerator):
    """W+ layers, and their order within w*, are those of `StyleGAN2Generator`.

    Layer 0 drives the convolution at 4 px; layer 2k-1 the colors of block k-1, then the upsampling convolution of block
    k; layer 2k the second convolution of block k; the last layer the final colors.
    """

    config: PaperStyleGAN2Config

    def __init__(self, config: PaperStyleGAN2Config) -> None:
        sides = [4 * 2**k for k in range(len(config.channels))]
        super().__init__(config, [4, *(side for side in sides[1:] for _ in range(2))])
        self.start = nn.Parameter(torch.randn(1, config.channels[0], 4, 4))
        inputs = (None, *config.channels[:-1])
        self.blocks = nn.ModuleList(
            Block(i, o, config, top=side == config.resolution)
            for i, o, side in zip(inputs, config.channels, sides, strict=True)
        )
        self.style_sizes = self.sizes()

    def layers(self) -> list[list[StyledLayer]]:
        """Styled modules of every W+ layer, in the order of w*."""
        return layers_of(self.blocks)

    def colors(
        self, styles: Sequence[Float[Tensor, "batch _"]], noise: Sequence[Float[Tensor, "#batch 1 _ _"] | None]
    ) -> Float[Tensor, "batch 3 side side"]:
        """Unbounded colors, nominally [-1, 1]."""
        image, codes, planes = None, iter(styles), iter(noise)
        x = self.start.expand(styles[0].shape[0], -1, -1, -1)
        for block in self.blocks:
            x, image = block(x, image, codes, planes)
        return cast(Tensor, image)
