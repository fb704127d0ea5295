import math

import pytest
import torch
import torch.nn.functional as F

from ganverse.generators.layers import EqualizedConv2d, EqualizedLinear, MappingNetwork, blur, halve, upsample


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_linear_equals_the_formula(factor: float) -> None:
    layer = EqualizedLinear(20, 6, activate=True, bias_init=0.5, learning_rate_factor=factor)
    x = torch.randn(5, 20)
    expected = F.leaky_relu(F.linear(x, layer.weight * factor / 20**0.5, layer.bias * factor), 0.2) * 2**0.5
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.bias * factor, torch.full((6,), 0.5))


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_layers_keep_the_variance_whatever_their_learning_rate(factor: float) -> None:
    out = EqualizedLinear(400, 300, learning_rate_factor=factor)(torch.randn(200, 400))
    assert out.var().item() == pytest.approx(1.0, abs=0.05)


def test_convolution_keeps_the_variance() -> None:
    out = EqualizedConv2d(32, 32, 3, activate=False)(torch.randn(2, 32, 32, 32))
    assert out[..., 1:-1, 1:-1].var().item() == pytest.approx(1.0, abs=0.1)


def test_convolution_equals_the_formula() -> None:
    layer = EqualizedConv2d(5, 4, 3, gain=0.7)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 6, 6)
    expected = F.leaky_relu(F.conv2d(x, layer.weight / 45**0.5, layer.bias, padding=1), 0.2) * 0.7
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("amplify", [True, False])
def test_mapping_equals_the_formula(amplify: bool) -> None:
    mapping = MappingNetwork(4, 3, 1, amplify_bias=amplify)
    (layer,) = mapping.layers
    torch.nn.init.normal_(layer.bias, std=100)
    z = torch.randn(5, 4)
    normalized = z / z.square().mean(dim=1, keepdim=True).sqrt()
    bias = 0.01 * layer.bias * (math.sqrt(2) if amplify else 1.0)
    expected = F.leaky_relu(normalized @ layer.weight.t() * 0.01 * math.sqrt(2 / 4) + bias, 0.2)
    torch.testing.assert_close(mapping(z), expected)


def test_upsampling_is_bilinear_inside() -> None:
    x = torch.randn(2, 3, 6, 5)
    bilinear = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(x)[:, :, 1:-1, 1:-1], bilinear[:, :, 1:-1, 1:-1])
    assert upsample(torch.ones(1, 1, 4, 4))[0, 0, 0, 0] == 0.75**2


def test_blur_keeps_the_mean_inside() -> None:
    assert torch.equal(blur(torch.ones(1, 2, 5, 5), (1.0, 2.0, 1.0))[:, :, 1:-1, 1:-1], torch.ones(1, 2, 3, 3))
    assert blur(torch.ones(1, 2, 5, 5), (1.0, 3.0, 3.0, 1.0)).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_halving_is_average_pooling_to_the_bit_gradients_included(dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 6, 4, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    results = []
    for half in (halve(x), F.avg_pool2d(x, 2)):
        (gradient,) = torch.autograd.grad(half.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        results.append((half, gradient, second))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
