"""Layers with equalized learning rate: weights ~ N(0, 1), scaled at run time (Karras et al. 2018, section 4.1)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEAK = 0.2
ACTIVATION_GAIN = math.sqrt(2.0)


class EqualLinear(nn.Module):
    """Fully connected layer; `activate` adds leaky ReLU times sqrt(2), of the weights alone unless `amplify_bias`."""

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
        # leaky ReLU is positively homogeneous, so its gain is applied to the (small) weights instead of the activations
        self._weight_gain = gain * learning_rate_factor / math.sqrt(inputs)
        self._bias_gain = (gain if amplify_bias else 1.0) * learning_rate_factor
        self._activate = activate

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Affine map, then the activation if there is one."""
        out = F.linear(x, self.weight * self._weight_gain, self.bias * self._bias_gain)
        return F.leaky_relu_(out, LEAK) if self._activate else out


class EqualConv2d(nn.Module):
    """Same-size convolution with bias; `activate` adds leaky ReLU; `gain` multiplies what comes out of that."""

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
        """Convolution, then the activation if there is one."""
        weight = self.weight * self._weight_gain
        out = F.conv2d(x, weight, self.bias * self._bias_gain, padding=weight.shape[-1] // 2)
        return F.leaky_relu_(out, LEAK) if self._activate else out
