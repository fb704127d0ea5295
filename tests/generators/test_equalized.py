import pytest
import torch
import torch.nn.functional as F

from ganverse.generators.equalized import EqualConv2d, EqualLinear


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_linear_equals_the_formula(factor: float) -> None:
    layer = EqualLinear(20, 6, activate=True, bias_init=0.5, learning_rate_factor=factor)
    x = torch.randn(5, 20)
    expected = F.leaky_relu(F.linear(x, layer.weight * factor / 20**0.5, layer.bias * factor), 0.2) * 2**0.5
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.bias * factor, torch.full((6,), 0.5))


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_layers_keep_the_variance_whatever_their_learning_rate(factor: float) -> None:
    out = EqualLinear(400, 300, learning_rate_factor=factor)(torch.randn(200, 400))
    assert out.var().item() == pytest.approx(1.0, abs=0.05)


def test_convolution_keeps_the_variance() -> None:
    out = EqualConv2d(32, 32, 3, activate=False)(torch.randn(2, 32, 32, 32))
    assert out[..., 1:-1, 1:-1].var().item() == pytest.approx(1.0, abs=0.1)


def test_convolution_equals_the_formula() -> None:
    layer = EqualConv2d(5, 4, 3, gain=0.7)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 6, 6)
    expected = F.leaky_relu(F.conv2d(x, layer.weight / 45**0.5, layer.bias, padding=1), 0.2) * 0.7
    torch.testing.assert_close(layer(x), expected)
