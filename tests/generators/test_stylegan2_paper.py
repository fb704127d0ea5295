"""The published StyleGAN2 against a slow oracle with per-sample weights and zero-insertion, written from the paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.stylegan2_paper import (
    PaperStyleGAN2Config,
    PaperStyleGAN2Generator,
)
from tests.importing_toys import SIZES, stylegan2

ROW = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def dense(x: Tensor, layer: Any) -> Tensor:
    return x @ layer.weight.t() / math.sqrt(x.shape[1]) + layer.bias


def lifted(x: Tensor) -> Tensor:
    """Zeros between the pixels."""
    out = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def filtered(x: Tensor, before: int, after: int) -> Tensor:
    """The low-pass filter with gain 4 over x, with zeros around."""
    kernel = 4 * torch.outer(ROW, ROW)
    padded = F.pad(x, (before, after, before, after))
    return torch.stack([F.conv2d(channel[:, None], kernel[None, None])[:, 0] for channel in padded.unbind(1)], dim=1)


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool, up: bool = False) -> Tensor:
    rows = []
    for one, s in zip(x, style, strict=True):
        w = weight * s[None, :, None, None]
        if demodulate:
            w = w * torch.rsqrt(w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        if up:
            # zero-insertion, then convolution with the kernel as it is (torch's conv2d correlates, hence the flip)
            spread = F.conv2d(lifted(one[None]), w.flip(2, 3), padding=2)[
                :, :, : 2 * x.shape[2] + 1, : 2 * x.shape[3] + 1
            ]
            rows.append(filtered(spread, 1, 1))
        else:
            rows.append(F.conv2d(one[None], w, padding=weight.shape[2] // 2))
    return torch.cat(rows)


def oracle(generator: PaperStyleGAN2Generator, z: Tensor) -> Tensor:
    """The image of z, in [-1, 1], with the stored noise."""
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        pre = 0.01 * (w @ layer.weight.t() / math.sqrt(w.shape[1]) + layer.bias)
        w = math.sqrt(2) * F.leaky_relu(pre, 0.2)
    residual = generator.config.branches == "residual"
    x, image, planes = generator.start.repeat(len(z), 1, 1, 1), None, iter(generator.noise_planes)
    for k, block in enumerate(generator.blocks):
        below = x
        for layer in (block.conv0, block.conv1):
            if layer is not None:
                up = layer is block.conv0
                x = modulated(x, layer.weight, dense(w, layer.affine), demodulate=True, up=up)
                x = x + next(planes) * layer.noise_strength + layer.bias[:, None, None]
                x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        if residual and k:
            skip = F.conv2d(below, block.skip / math.sqrt(below.shape[1]))
            x = (x + filtered(lifted(skip), 2, 1)) * math.sqrt(0.5)
        image = None if image is None else filtered(lifted(image), 2, 1)
        if block.to_rgb is not None:
            style = dense(w, block.to_rgb.affine) / math.sqrt(x.shape[1])
            colors = modulated(x, block.to_rgb.weight, style, demodulate=False) + block.to_rgb.bias[:, None, None]
            image = colors if image is None else image + colors
    assert image is not None
    return image


@pytest.mark.parametrize("branches", ["skip", "residual"])
def test_equals_the_oracle(branches: str) -> None:
    generator = stylegan2(branches=branches)
    z = torch.randn(3, 6)
    raw = generator.synthesize_raw(generator.styles(generator.map(z)))
    torch.testing.assert_close(raw, oracle(generator, z), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("branches", ["skip", "residual"])
def test_behind_the_protocol(branches: str) -> None:
    generator = stylegan2(branches=branches)
    assert isinstance(generator, ImageGenerator)
    w = generator.map(torch.randn(2, 6))
    styles = generator.styles(w)
    assert styles.shape == (2, sum(generator.style_sizes))
    assert len(generator.style_sizes) == generator.config.layers == 6
    assert torch.equal(styles, generator.styles(w[:, None].expand(-1, 6, -1)))
    assert generator.style_sizes == ((4, 8, 3, 6, 2, 2) if branches == "skip" else (4, 4, 3, 3, 2, 2))


def test_config_f_has_the_published_size() -> None:
    """Table 1 of stylegan2 does not say it, but config-f at 1024 px is known to have 30 million weights."""
    config = PaperStyleGAN2Config(
        resolution=1024,
        z_dim=512,
        w_dim=512,
        mapping_layers=8,
        channels=tuple(min(32768 // side, 512) for side in (4, 8, 16, 32, 64, 128, 256, 512, 1024)),
    )
    with torch.device("meta"):
        generator = PaperStyleGAN2Generator(config)
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    assert len(generator.style_sizes) == 18
    assert sum(generator.style_sizes) == 9088


def test_clamp_bounds_colors_and_features() -> None:
    free, bounded = stylegan2(), stylegan2(clamp=0.01)
    bounded.load_state_dict(free.state_dict())
    styles = free.styles(free.map(torch.randn(2, 6)))
    assert bounded.synthesize_raw(styles).abs().max() <= 0.01 * 3
    assert free.synthesize_raw(styles).abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 32}, "channel count"),
        ({"view_layers": 9}, "view layers"),
        ({"noise": "some"}, "constant, random or none"),
        ({"crop": (17, 16)}, "crop within"),
    ],
)
def test_impossible_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GanverseError, match=message):
        PaperStyleGAN2Config(**{**SIZES, **change})
