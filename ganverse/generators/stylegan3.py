"""StyleGAN3's generator (Karras et al. 2021, "Alias-free GANs"), translation (-t) and rotation (-r) variants.

Written from the paper, section 3 and appendix. Features are band-limited signals on grids with a margin around the
image. Every nonlinearity works at twice the sampling rate, between low-pass filters, which are stored with the
weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.layers import ACTIVATION_GAIN, SLOPE, EqualizedLinear
from ganverse.generators.protocol import Images
from ganverse.generators.style_based import MAX_FEATURES, ImportedConfig, ImportedGenerator, NoiseMode, StyledLayer

MARGIN = 10
"""Margin in pixels on each side of every grid."""
CRITICAL = 2
"""Number of last layers that are critically sampled: their cutoff is half their sampling rate."""
TAPS = 6
"""Filter taps per up- or downsampling factor."""
OUTPUT_SCALE = 0.25


@dataclass(frozen=True)
class StyleGAN3Config(ImportedConfig):
    """Architecture; `channels` holds one count for each layer except the last, which makes the colors."""

    noise: NoiseMode = "none"
    """StyleGAN3 takes no noise."""
    kernel: int = 3
    """Kernel size of the convolutions: 3 (-t) or 1 (-r)."""
    radial: bool = False
    """Radially symmetric downsampling filters (-r)."""
    clamp: float | None = 256.0
    """Bound of the activations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise != "none":
            raise GanverseError(f"expected noise none, which StyleGAN3 does not take, got {self.noise}")
        if self.kernel not in (1, 3) or (self.clamp is not None and not self.clamp > 0):
            raise GanverseError(f"expected a kernel of 1 or 3 and a positive clamp, got {self.kernel}, {self.clamp}")

    def check_channels(self) -> None:
        """GanverseError if the number of layers or features is out of range."""
        if not CRITICAL < len(self.channels) <= 64 or self.resolution < 16:
            raise GanverseError(f"expected 3 to 64 layers from 16 px on, got {len(self.channels)} at {self.resolution}")
        if max(width * grid.size**2 for width, grid in zip(self.channels, self.grids, strict=False)) > 2 * MAX_FEATURES:
            raise GanverseError(f"expected at most {2 * MAX_FEATURES} features in each layer, got more")

    @property
    def layers(self) -> int:
        """Number of layers of the W+ convention: the input, the convolutions, the colors."""
        return len(self.channels) + 2

    @property
    def grids(self) -> list[Grid]:
        """Signals produced by the layers, the colors last (section 3.2)."""
        half, last = self.resolution / 2, len(self.channels)
        grids = []
        for k in range(last + 1):
            exponent = min(k / (last - CRITICAL), 1.0)
            stopband = 2**2.1 * (half * 2**0.3 / 2**2.1) ** exponent
            rate = 2 ** math.ceil(math.log2(min(2 * stopband, self.resolution)))
            size = self.resolution if k >= last - 1 else rate + 2 * MARGIN
            grids.append(Grid(2.0 * (half / 2) ** exponent, rate, size, exponent == 1.0))
        return grids


@dataclass(frozen=True)
class Grid:
    """Sampling of a signal.

    cutoff: highest frequency, in cycles per image. rate: samples per image. size: samples per side, with the margin.
    critical: whether the cutoff is half the rate.
    """

    cutoff: float
    rate: int
    size: int
    critical: bool


class FourierInput(StyledLayer):
    """Sine waves, rotated and translated according to w (appendix F); the style is (r_c, r_s, t_x, t_y)."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, channels: int, grid: Grid, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, 4)
        self.affine.weight.data.zero_()
        self.affine.bias.data.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.style_size = 4
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.register_buffer("freqs", torch.randn(channels, 2) * grid.cutoff / 2)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self._grid = grid

    def forward(self, style: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch channels size size"]:
        """The waves, mixed by learned weights."""
        grid, count = self._grid, len(style)
        cosine, sine, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        matrix = rotation @ shift @ self.transform
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ matrix[:, :2, :2]
        # Waves that a shrinking transform moves beyond the cutoff fade out towards half the sampling rate.
        amplitude = 1.0 - (freqs.norm(dim=2) - grid.cutoff) / (grid.rate / 2 - grid.cutoff)
        scale = 0.5 * grid.size / grid.rate
        theta = (torch.eye(2, 3, dtype=style.dtype, device=style.device) * scale).expand(count, -1, -1)
        positions = F.affine_grid(theta, [count, 1, grid.size, grid.size], align_corners=False).flatten(1, 2)
        waves = torch.sin(2 * math.pi * (positions @ freqs.transpose(1, 2) + phases[:, None]))
        waves = waves * amplitude.clamp(0.0, 1.0)[:, None]
        mixed = waves @ self.weight.t() / math.sqrt(self.weight.shape[1])
        return mixed.transpose(1, 2).unflatten(2, (grid.size, grid.size))


class AliasFreeLayer(StyledLayer):
    """Modulated convolution, then the activation at a higher sampling rate, then the output grid.

    colors: the last layer, without demodulation and activation.
    """

    up_filter: Tensor | None
    down_filter: Tensor | None
    magnitude_ema: Tensor

    def __init__(
        self, inputs: int, outputs: int, source: Grid, target: Grid, config: StyleGAN3Config, *, colors: bool
    ) -> None:
        super().__init__()
        kernel = 1 if colors else config.kernel
        self.affine = EqualizedLinear(config.w_dim, inputs, bias_init=1.0)
        self.style_size = inputs
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("magnitude_ema", torch.ones(()))
        rate = max(source.rate, target.rate) * (1 if colors else 2)
        self._up, self._down = rate // source.rate, rate // target.rate
        up_taps, down_taps = (1 if colors or factor == 1 else TAPS * factor for factor in (self._up, self._down))
        radial = config.radial and not target.critical
        self.register_buffer("up_filter", _box(up_taps) if up_taps > 1 else None)
        self.register_buffer("down_filter", _box(down_taps, radial=radial) if down_taps > 1 else None)
        total = (target.size - 1) * self._down + 1 - (source.size + kernel - 1) * self._up + up_taps + down_taps - 2
        before = (total + self._up) // 2
        # A transposed convolution starts up_taps - 1 samples early and ends up_taps - up samples late.
        self._padding = (before - up_taps + 1, total - before + self._up - up_taps) * 2
        self._colors = colors
        self._clamp = config.clamp

    def forward(
        self, x: Float[Tensor, "batch inputs size size"], style: Float[Tensor, "batch inputs"]
    ) -> Float[Tensor, "batch outputs size_out size_out"]:
        """The signal on the next grid."""
        x = self._convolve(x, style) + self.bias[:, None, None]
        x = F.pad(_resample(x, self.up_filter, up=self._up), self._padding)
        if not self._colors:
            x = F.leaky_relu(x, SLOPE) * ACTIVATION_GAIN
        if self._clamp is not None:
            x = x.clamp(-self._clamp, self._clamp)
        return _resample(x, self.down_filter, down=self._down)

    def _convolve(self, x: Tensor, style: Tensor) -> Tensor:
        weight, padding = cast(Tensor, self.weight), self.weight.shape[2] - 1
        gain = torch.rsqrt(self.magnitude_ema)
        if self._colors:
            style = style / math.sqrt(weight[0].numel())
            return F.conv2d(x * (style * gain)[:, :, None, None], weight, padding=padding)
        weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        # Per style vector, so that no sample depends on its batch; demodulation cancels the scale.
        style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
        demodulation = torch.rsqrt(style.square() @ weight.square().sum(dim=(2, 3)).t() + 1e-8)
        out = F.conv2d(x * (style * gain)[:, :, None, None], weight, padding=padding)
        return out * demodulation[:, :, None, None]


def _box(taps: int, *, radial: bool = False) -> Tensor:
    """Placeholder for a filter until the stored one is loaded."""
    return torch.full((taps, taps) if radial else (taps,), 1.0 / taps ** (2 if radial else 1))


def _resample(x: Tensor, taps: Tensor | None, *, up: int = 1, down: int = 1) -> Tensor:
    """Inserts zeros, filters (both axes, or with a 2D filter) and drops samples; up: nothing is cut off."""
    if taps is None:
        return x
    kernels = [taps] if taps.dim() == 2 else [taps[:, None], taps[None]]
    for kernel in kernels:
        each = [1 if side == 1 else up * down for side in kernel.shape]
        repeated = kernel.expand(x.shape[1], 1, -1, -1)
        if up > 1:
            x = F.conv_transpose2d(x, repeated * up, stride=each, groups=x.shape[1])
        else:
            x = F.conv2d(x, repeated.flip(2, 3), stride=each, groups=x.shape[1])
    return x


class StyleGAN3Generator(ImportedGenerator):
    """W+ layer 0 drives the Fourier features, each other layer a convolution, the last the colors."""

    config: StyleGAN3Config

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(config, ())
        grids = config.grids
        self.input = FourierInput(config.channels[0], grids[0], config.w_dim)
        widths, last = (*config.channels, 3), len(config.channels)
        self.convolutions = nn.ModuleList(
            AliasFreeLayer(widths[max(k - 1, 0)], widths[k], grids[max(k - 1, 0)], grids[k], config, colors=k == last)
            for k in range(last + 1)
        )
        self.style_sizes = self.sizes()

    def layers(self) -> list[list[StyledLayer]]:
        """Styled modules of every W+ layer, in the order of w*."""
        return [[self.input], *[[cast(StyledLayer, layer)] for layer in self.convolutions]]

    def colors(
        self, styles: Sequence[Float[Tensor, "batch _"]], noise: Sequence[Float[Tensor, "#batch 1 _ _"] | None]
    ) -> Images:
        """Unbounded colors, nominally [-1, 1]."""
        x = self.input(styles[0])
        for layer, style in zip(self.convolutions, styles[1:], strict=True):
            x = layer(x, style)
        return x * OUTPUT_SCALE
