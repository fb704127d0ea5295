"""StyleGAN2's generator, written from the paper (Karras et al. 2020), optimized for training on a CPU.

Differences to the paper, all for speed: a block's upsampling convolution works at the LOW resolution, and its result is
upsampled bilinearly before the activation; modulation and demodulation scale the activations before and after one
convolution shared by the batch (the same function as per-sample weights, section 2.2); no path-length
regularization.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.layers import ACTIVATION_GAIN, SLOPE, EqualizedLinear
from ganverse.generators.protocol import Codes, Images, Noise, Styles, W, style_slices
from ganverse.generators.style_based import (
    SIDES,
    StyleBasedConfig,
    StyleBasedGenerator,
    StyledLayer,
    layers_of,
    post_affine,
)


@dataclass(frozen=True)
class StyleGAN2Config(StyleBasedConfig):
    """Architecture of the generator trained in this project."""

    resolution: int = 64
    z_dim: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    channels: tuple[int, ...] = (128, 128, 96, 64, 32)
    view_layers: int = 4
    noise: bool = True
    """Whether to train with noise inputs. Without them the latent code sets every detail, as multi-view data need."""
    view_inputs: int | None = None
    """Leading dimensions of w that the view layers read, a bottleneck that leaves the object to the other layers.
    Default: all, as in StyleGAN."""

    first_rgb: int = 4
    """Resolution in pixels of the first block that adds colors. Lower blocks affect the shape only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_rgb not in SIDES or self.first_rgb > self.resolution:
            raise GanverseError(f"expected first_rgb of 4, 8, ... {self.resolution} px, got {self.first_rgb}")
        if self.view_inputs is not None and not 1 <= self.view_inputs <= self.w_dim:
            raise GanverseError(f"expected view_inputs from 1 to w_dim = {self.w_dim}, got {self.view_inputs}")


def upsample(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height2 width2"]:
    """Doubles the size bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class LeadingAffine(EqualizedLinear):
    """Affine map of the first `inputs` dimensions of its input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias_init=1.0)
        self._inputs = inputs

    def forward(self, x: Float[Tensor, "batch all"]) -> Float[Tensor, "batch outputs"]:
        """Ignores the other dimensions."""
        return super().forward(x[:, : self._inputs])


class StyledConvolution(StyledLayer):
    """Modulated 3x3 convolution with demodulation, noise, bias and leaky ReLU times sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, inputs, bias_init=1.0)
        weight = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.style_size = inputs
        self._up = up

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        style: Float[Tensor, "batch inputs"],
        noise: Float[Tensor, "#batch 1 height width"] | None,
    ) -> Float[Tensor, "batch outputs height_out width_out"]:
        """Noise has the input's size; the output is twice as large if the layer upsamples."""
        # Equation 3 of the paper; the gain of the activation is merged into other scalings.
        power = style.square() @ self.weight.square().sum(dim=(2, 3)).t()
        demodulation = torch.rsqrt(power + 1e-8) * ACTIVATION_GAIN
        out = F.conv2d(x * style[:, :, None, None], self.weight, padding=1)
        bias = self.bias * ACTIVATION_GAIN
        out = torch.addcmul(bias.to(out.dtype)[:, None, None], out, demodulation.to(out.dtype)[:, :, None, None])
        if noise is not None:
            out = out.add_(noise * (self.noise_strength * ACTIVATION_GAIN))
        if self._up:
            out = upsample(out)
        return F.leaky_relu_(out, SLOPE)


class ToRGB(StyledLayer):
    """Modulated 1x1 convolution to colors, without demodulation."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs))
        self.bias = nn.Parameter(torch.zeros(3))
        self.style_size = inputs
        self._gain = 1.0 / math.sqrt(inputs)

    def forward(
        self, x: Float[Tensor, "batch inputs height width"], style: Float[Tensor, "batch inputs"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Unbounded colors; 0 is mid-gray."""
        # Three output channels: the only place where per-sample weights are cheaper than scaled activations.
        weight = self.weight * (style * self._gain)[:, None, :]
        colors = torch.matmul(x.permute(0, 2, 3, 1).flatten(1, 2), weight.transpose(1, 2)) + self.bias
        return colors.view(x.shape[0], x.shape[2], x.shape[3], 3).permute(0, 3, 1, 2)


class SynthesisBlock(nn.Module):
    """One resolution: [upsampling convolution,] convolution, colors."""

    def __init__(self, inputs: int | None, outputs: int, w_dim: int, *, rgb: bool = True) -> None:
        super().__init__()
        self.conv0 = None if inputs is None else StyledConvolution(inputs, outputs, w_dim, up=True)
        self.conv1 = StyledConvolution(outputs, outputs, w_dim)
        self.to_rgb = ToRGB(outputs, w_dim) if rgb else None

    def forward(
        self,
        x: Float[Tensor, "batch inputs height width"],
        image: Float[Tensor, "batch 3 height width"] | None,
        styles: Iterator[Tensor],
        noises: Iterator[Tensor | None],
        fade: float = 1.0,
    ) -> tuple[
        Float[Tensor, "batch outputs height_out width_out"], Float[Tensor, "batch 3 height_out width_out"] | None
    ]:
        """Features, and the image so far plus this block's colors; takes styles and noise in order."""
        if self.conv0 is not None:
            x = self.conv0(x, next(styles), next(noises))
        x = self.conv1(x, next(styles), next(noises))
        if self.to_rgb is None:
            return x, None
        colors = self.to_rgb(x, next(styles))
        return x, colors if image is None else torch.add(upsample(image), colors, alpha=fade)


class StyleGAN2Generator(StyleBasedGenerator):
    """Grows progressively through `synthesize_raw(resolution=, fade=)`.

    Layer 0 drives the convolution at 4 px; layer 2k-1 the colors of block k-1, then the upsampling convolution of block
    k; layer 2k the second convolution of block k; the last layer the final colors.
    """

    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config)
        start = torch.randn(1, config.channels[0], 4, 4).contiguous(memory_format=torch.channels_last)
        self.start = nn.Parameter(start)
        inputs = (None, *config.channels[:-1])
        self.blocks = nn.ModuleList(
            SynthesisBlock(i, o, config.w_dim, rgb=4 << k >= config.first_rgb)
            for k, (i, o) in enumerate(zip(inputs, config.channels, strict=True))
        )
        if config.view_inputs is not None:
            for module in chain.from_iterable(self.layers()[: config.view_layers]):
                module.affine = LeadingAffine(config.view_inputs, module.style_size)
        self.style_sizes = self.sizes()

    def layers(self, resolution: int | None = None) -> list[list[StyledLayer]]:
        """Modulated modules of every W+ layer, in the order of w*; fewer for a lower `resolution`."""
        return layers_of(self.blocks[: self._depth(resolution)])

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """One (height, width) per convolution; upsampling convolutions take noise at the low resolution.

        Empty for a network trained without noise.
        """
        if not self.config.noise:
            return ()
        sides = [4] + [side for k in range(len(self.blocks) - 1) for side in (4 * 2**k, 8 * 2**k)]
        return tuple((side, side) for side in sides)

    def noise(self, batch: int, *, seed: int, resolution: int | None = None) -> list[Float[Tensor, "batch 1 _ _"]]:
        """Standard normal noise for `synthesize`, a pure function of the seed on a given device."""
        device = self.start.device
        source = torch.Generator(device).manual_seed(seed)
        count = 2 * self._depth(resolution) - 1
        return [torch.randn(batch, 1, *shape, generator=source, device=device) for shape in self.noise_shapes[:count]]

    @torch.no_grad()
    def track_average(self, w: W, decay: float = 0.998) -> None:
        """Moves the running average of w (for truncation) towards the mean of this batch."""
        self.w_average.lerp_(w.detach().to(self.w_average).mean(dim=0), 1.0 - decay)

    def styles(self, w: Codes, resolution: int | None = None) -> Styles:
        """Flat styles w*; a lower `resolution` returns the prefix that `synthesize_raw` needs.

        A [batch, layers, w_dim] input may hold one code per layer of the full generator or of that resolution.
        """
        return post_affine(self.layers(resolution), w)

    def synthesize_raw(
        self, styles: Styles, noise: Noise = None, *, resolution: int | None = None, fade: float = 1.0
    ) -> Images:
        """Unbounded colors, nominally [-1, 1], at `resolution` (None: full).

        `fade` in [0, 1] weights the colors that the top block adds to the upsampled image of the block below.
        """
        depth = self._depth(resolution)
        modules = [module for layer in self.layers(resolution) for module in layer]
        codes = (styles[:, where] for where in style_slices([module.style_size for module in modules]))
        planes: Sequence[Tensor | None] = noise or [None] * (2 * depth - 1)
        noises = iter(planes)
        x, image = self.blocks[0](self.start.expand(styles.shape[0], -1, -1, -1), None, codes, noises)
        for block in self.blocks[1:depth]:
            x, image = block(x, image, codes, noises, fade if block is self.blocks[depth - 1] else 1.0)
        colors: Tensor = image
        return colors

    def _depth(self, resolution: int | None) -> int:
        """Number of blocks used at a resolution."""
        depths = {4 * 2**k: k + 1 for k in range(len(self.blocks))}
        if resolution is None:
            return len(self.blocks)
        if resolution not in depths:
            raise GanverseError(f"expected a resolution of {sorted(depths)} px, got {resolution}")
        return depths[resolution]
