"""Layers of style-based generators: equalized learning rate, low-pass filters, the mapping network."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2
"""Slope of the leaky ReLU for negative inputs."""
ACTIVATION_GAIN = math.sqrt(2.0)
"""Restores the second moment that the leaky ReLU halves."""
BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""StyleGAN2's low-pass filter."""


class EqualizedLinear(nn.Module):
    """Fully connected layer whose weights are N(0, 1) and scaled at run time (Karras et al. 2018, section 4.1).

    activate: adds leaky ReLU times sqrt(2). amplify_bias: whether that gain also scales the bias.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activate: bool = False,
        bias_init: float = 0.0,
        learning_rate_factor: float = 1.0,
        amplify_bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / learning_rate_factor)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / learning_rate_factor))
        gain = ACTIVATION_GAIN if activate else 1.0
        # leaky ReLU is positively homogeneous, so its gain can scale the (small) weights instead of the activations
        self._weight_gain = gain * learning_rate_factor / math.sqrt(inputs)
        self._bias_gain = (gain if amplify_bias else 1.0) * learning_rate_factor
        self._activate = activate

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Affine map and optional activation."""
        out = F.linear(x, self.weight * self._weight_gain, self.bias * self._bias_gain)
        return F.leaky_relu_(out, SLOPE) if self._activate else out


class EqualizedConv2d(nn.Module):
    """Same-size convolution with equalized learning rate and bias; `gain` multiplies its output.

    activate: adds leaky ReLU. gain: sqrt(2) with the activation and 1 without it if None.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, activate: bool = True, gain: float | None = None
    ) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs, kernel, kernel).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._bias_gain = gain if gain is not None else (ACTIVATION_GAIN if activate else 1.0)
        self._weight_gain = self._bias_gain / math.sqrt(inputs * kernel**2)
        self._activate = activate

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs height width"]:
        """Convolution and optional activation."""
        weight = self.weight * self._weight_gain
        out = F.conv2d(x, weight, self.bias * self._bias_gain, padding=weight.shape[-1] // 2)
        return F.leaky_relu_(out, SLOPE) if self._activate else out


class MappingNetwork(nn.Module):
    """Latent codes z -> intermediate codes w (Karras et al. 2019, section 2).

    Normalizes z to unit second moment; then fully connected layers with a 100 times lower learning rate.
    amplify_bias: whether the activation's gain also scales the bias, as in StyleGAN2 but not in StyleGAN1.
    """

    def __init__(self, z_dim: int, w_dim: int, layers: int, *, amplify_bias: bool = True) -> None:
        super().__init__()
        widths = [z_dim] + [w_dim] * layers
        self.layers = nn.Sequential(
            *(
                EqualizedLinear(a, b, activate=True, learning_rate_factor=0.01, amplify_bias=amplify_bias)
                for a, b in pairwise(widths)
            )
        )

    def forward(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        """Codes w of latents z."""
        out: Tensor = self.layers(normalize_second_moment(z))
        return out


def normalize_second_moment(x: Float[Tensor, "*batch dims"]) -> Float[Tensor, "*batch dims"]:
    """Scales every vector to a mean square of 1."""
    return x * (x.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt()


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Same values as PyTorch's backward, which takes three to four times as long on a CPU.
        return F.interpolate(gradient * 0.25, scale_factor=2.0)


def halve(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels half_h half_w"]:
    """Mean of every 2 x 2 pixels; height and width must be even."""
    half: Tensor = _Halve.apply(x)
    return half


def blur(
    x: Float[Tensor, "batch channels height width"], taps: tuple[float, ...]
) -> Float[Tensor, "batch channels height_out width_out"]:
    """Filters both axes with `taps` (normalized to sum 1), one zero of padding on each side."""
    return F.conv2d(x, _kernel(x, taps, 1.0), padding=1, groups=x.shape[1])


def upsample(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height2 width2"]:
    """Doubles the size with [1, 3, 3, 1]: bilinear inside, darker at the border (StyleGAN2, appendix B)."""
    return F.conv_transpose2d(x, _kernel(x, BINOMIAL, 4.0), stride=2, padding=1, groups=x.shape[1])


def _kernel(x: Tensor, taps: tuple[float, ...], gain: float) -> Tensor:
    """One depth-wise kernel per channel of `x`."""
    return (_square(taps, x.dtype, x.device) * gain).expand(x.shape[1], 1, -1, -1)


@lru_cache(maxsize=16)  # every layer filters, and each upload would make the host wait for the GPU
def _square(taps: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Float[Tensor, "taps taps"]:
    row = torch.tensor(taps, dtype=dtype, device=device)
    row = row / row.sum()
    return torch.outer(row, row)
