import math

import pytest
import torch
import torch.nn.functional as F

from ganverse.generators.mapping import MappingNetwork


@pytest.mark.parametrize("amplify", [True, False])
def test_equals_the_formula(amplify: bool) -> None:
    mapping = MappingNetwork(4, 3, 1, amplify_bias=amplify)
    (layer,) = mapping.layers
    torch.nn.init.normal_(layer.bias, std=100)
    z = torch.randn(5, 4)
    normalized = z / z.square().mean(dim=1, keepdim=True).sqrt()
    bias = 0.01 * layer.bias * (math.sqrt(2) if amplify else 1.0)
    expected = F.leaky_relu(normalized @ layer.weight.t() * 0.01 * math.sqrt(2 / 4) + bias, 0.2)
    torch.testing.assert_close(mapping(z), expected)
