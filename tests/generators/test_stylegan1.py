"""StyleGAN1 against a slow oracle, written from the paper."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.stylegan1 import StyleGAN1Generator, enlarge
from tests.importing_toys import stylegan1

BINOMIAL = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16


def blurred(x: Tensor) -> Tensor:
    channels = [F.conv2d(channel[:, None], BINOMIAL[None, None], padding=1)[:, 0] for channel in x.unbind(1)]
    return torch.stack(channels, dim=1)


def nearest(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def oracle(generator: StyleGAN1Generator, z: Tensor) -> Tensor:
    """The image of z, in [-1, 1], with the stored noise, for resolutions below 128 px."""
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        w = F.leaky_relu(w @ layer.weight.t() * 0.01 * math.sqrt(2 / w.shape[1]) + 0.01 * layer.bias, 0.2)
    planes = iter(generator.noise_planes)
    x = generator.start.repeat(len(z), 1, 1, 1)
    for block in generator.blocks:
        if block.up is not None:
            x = blurred(F.conv2d(nearest(x), block.up * math.sqrt(2 / block.up[0].numel()), padding=1))
        for epilogue in (block.epilogue0, block.epilogue1):
            if epilogue is block.epilogue1:
                x = F.conv2d(x, block.conv * math.sqrt(2 / block.conv[0].numel()), padding=1)
            x = x + next(planes) * epilogue.noise_weight.view(1, -1, 1, 1) + epilogue.bias.view(1, -1, 1, 1)
            x = F.instance_norm(F.leaky_relu(x, 0.2), eps=1e-8)
            style = w @ epilogue.affine.weight.t() / math.sqrt(w.shape[1]) + epilogue.affine.bias
            style = style.view(len(z), 2, -1, 1, 1)
            x = x * (style[:, 0] + 1) + style[:, 1]
    return F.conv2d(x, generator.color_weight / math.sqrt(x.shape[1])) + generator.color_bias.view(1, -1, 1, 1)


def test_equals_the_oracle() -> None:
    generator = stylegan1()
    z = torch.randn(3, 6)
    raw = generator.synthesize_raw(generator.styles(generator.map(z)))
    torch.testing.assert_close(raw, oracle(generator, z), atol=1e-5, rtol=1e-4)


def test_enlarging_is_repeating_and_convolving() -> None:
    x, weight = torch.randn(2, 3, 5, 6), torch.randn(4, 3, 3, 3)
    torch.testing.assert_close(enlarge(x, weight, fused=False), F.conv2d(nearest(x), weight, padding=1))
    torch.testing.assert_close(enlarge(x, weight, fused=True), F.conv2d(nearest(x), weight.flip(2, 3), padding=1))


@pytest.mark.parametrize(("side", "turned"), [(64, False), (128, True)])
def test_kernels_are_turned_from_128_px_on(side: int, turned: bool) -> None:
    levels = int(math.log2(side)) - 1
    generator = stylegan1(resolution=side, channels=(2,) * levels)
    assert generator.blocks[-1]._fused is turned


def test_behind_the_protocol() -> None:
    generator = stylegan1(noise="random")
    assert isinstance(generator, ImageGenerator)
    assert generator.style_sizes == (8, 8, 6, 6, 4, 4)
    assert generator.noise_shapes == ((4, 4), (4, 4), (8, 8), (8, 8), (16, 16), (16, 16))
    w = generator.map(torch.randn(2, 6))
    styles = generator.styles(w)
    assert torch.equal(styles, generator.styles(w[:, None].expand(-1, 6, -1)))
