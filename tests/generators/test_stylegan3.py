"""StyleGAN3 against a slow oracle, written from the formulas of the paper, and against its own symmetries."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators import ImageGenerator, StyleGAN3Config, StyleGAN3Generator
from tests.importing_toys import SIZES, stylegan3

VARIANTS = pytest.mark.parametrize("variant", [{}, {"kernel": 1, "radial": True}], ids=["t", "r"])


def dense(x: Tensor, layer: Any) -> Tensor:
    return x @ layer.weight.t() / math.sqrt(x.shape[1]) + layer.bias


def filtered(x: Tensor, taps: Tensor | None, gain: float) -> Tensor:
    """Convolution with a low-pass filter, without padding."""
    if taps is None:
        return x
    kernel = (taps if taps.dim() == 2 else torch.outer(taps, taps)).flip(0, 1) * gain
    return torch.stack([F.conv2d(channel[:, None], kernel[None, None])[:, 0] for channel in x.unbind(1)], dim=1)


def oracle(generator: StyleGAN3Generator, z: Tensor) -> Tensor:
    """The image of z, in [-1, 1]; styles are normalized over the whole batch, as published."""
    resolution, last = generator.resolution, len(generator.config.channels)
    w = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        w = math.sqrt(2) * F.leaky_relu(0.01 * dense(w, layer), 0.2)
    exponents = [min(k / (last - 2), 1) for k in range(last + 1)]
    cutoffs = [2 * (resolution / 2 / 2) ** e for e in exponents]
    stopbands = [2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** e for e in exponents]
    rates = [2 ** math.ceil(math.log2(min(2 * band, resolution))) for band in stopbands]
    sides = [rate + 20 for rate in rates]
    sides[-2:] = resolution, resolution

    made = dense(w, generator.input.affine)
    rows = []
    for c, s, tx, ty in made / made[:, :2].norm(dim=1, keepdim=True):
        turn, move = torch.eye(3), torch.eye(3)
        turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = c, -s, s, c
        move[0, 2], move[1, 2] = -tx, -ty
        matrix = turn @ move @ generator.input.transform
        phases = generator.input.phases + generator.input.freqs @ matrix[:2, 2]
        freqs = generator.input.freqs @ matrix[:2, :2]
        amplitudes = (1 - (freqs.norm(dim=1) - cutoffs[0]) / (rates[0] / 2 - cutoffs[0])).clamp(0, 1)
        steps = ((torch.arange(sides[0]) + 0.5) / sides[0] - 0.5) * sides[0] / rates[0]
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        waves = torch.sin(2 * math.pi * (x[..., None] * freqs[:, 0] + y[..., None] * freqs[:, 1] + phases)) * amplitudes
        rows.append((waves @ generator.input.weight.t() / math.sqrt(len(phases))).permute(2, 0, 1))
    return deeper(generator, torch.stack(rows), w, rates, sides)


def deeper(generator: StyleGAN3Generator, x: Tensor, w: Tensor, rates: list[int], sides: list[int]) -> Tensor:
    last = len(generator.config.channels)
    for k, layer in enumerate(generator.convolutions):
        before, colors, kernel = max(k - 1, 0), k == last, layer.weight.shape[2]
        style = dense(w, layer.affine)
        weight = layer.weight
        if colors:
            style = style / math.sqrt(weight[0].numel())
        else:
            weight = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            style = style / style.square().mean().sqrt()
        convolved = []
        for one, s in zip(x, style, strict=True):
            modulated = weight * s[:, None, None]
            if not colors:
                modulated = modulated / (modulated.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            convolved.append(F.conv2d(one[None], modulated / layer.magnitude_ema.sqrt(), padding=kernel - 1))
        x = torch.cat(convolved) + layer.bias[:, None, None]
        rate = max(rates[before], rates[k]) * (1 if colors else 2)
        up, down = rate // rates[before], rate // rates[k]
        taps_up, taps_down = (6 * factor if factor > 1 and not colors else 1 for factor in (up, down))
        total = (sides[k] - 1) * down + 1 - (sides[before] + kernel - 1) * up + taps_up + taps_down - 2
        low = (total + up) // 2
        spread = torch.zeros(*x.shape[:2], x.shape[2] * up, x.shape[3] * up)
        spread[:, :, ::up, ::up] = x
        x = filtered(F.pad(spread, (low, total - low, low, total - low)), layer.up_filter, up**2)
        if not colors:
            x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        x = filtered(x.clamp(-256, 256), layer.down_filter, 1)[:, :, ::down, ::down]
        assert x.shape[2:] == (sides[k], sides[k])
    return x / 4


@VARIANTS
def test_equals_the_oracle(variant: dict[str, Any]) -> None:
    generator = stylegan3(**variant)
    z = torch.randn(3, 6)
    raw = generator.synthesize_raw(generator.styles(generator.map(z)))
    assert raw.std() > 0.05
    torch.testing.assert_close(raw, oracle(generator, z), atol=1e-5, rtol=1e-4)


def test_behind_the_protocol() -> None:
    generator = stylegan3(crop=(20, 32))
    assert isinstance(generator, ImageGenerator)
    w = generator.map(torch.randn(2, 6))
    styles = generator.styles(w)
    assert generator.style_sizes == (4, 6, 6, 5, 4, 4, 3)
    assert generator.config.layers == 7
    assert torch.equal(styles, generator.styles(w[:, None].expand(-1, 7, -1)))
    assert generator.noise_shapes == ()
    assert generator.synthesize(styles).shape == (2, 3, 20, 32)
    torch.testing.assert_close(generator.synthesize(styles)[:1], generator.synthesize(styles[:1]), atol=1e-6, rtol=0)


@VARIANTS
def test_a_mirrored_network_synthesizes_mirrored_images(variant: dict[str, Any]) -> None:
    """All grids have one center: otherwise up- and down-sampling would move the image by a part of a pixel."""
    generator, mirrored = stylegan3(**variant), stylegan3(**variant)
    generator.input.transform.copy_(torch.eye(3))
    mirrored.load_state_dict(generator.state_dict())
    mirrored.input.freqs[:, 0].neg_()
    for layer in mirrored.convolutions:
        layer.weight.copy_(layer.weight.flip(3))
    styles = generator.styles(generator.map(torch.randn(2, 6)))
    styles[:, :4] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    image, other = generator.synthesize_raw(styles), mirrored.synthesize_raw(styles)
    assert not torch.allclose(image, other, atol=1e-2)
    torch.testing.assert_close(image, other.flip(3), atol=1e-5, rtol=1e-4)


def test_translations_move_the_image() -> None:
    """By one sample of the coarsest grid, 16 of them in 32 pixels; borders aside, where the margins end."""
    generator = stylegan3()
    generator.input.transform.copy_(torch.eye(3))
    styles = generator.styles(generator.map(torch.randn(1, 6)))
    styles[:, :4] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    moved = styles.clone()
    moved[:, 2] = 1 / 16
    image, other = generator.synthesize_raw(styles), generator.synthesize_raw(moved)
    assert not torch.allclose(image, other, atol=1e-2)
    torch.testing.assert_close(image[..., 8:-8, 8:-8], other[..., 8:-8, 10:-6], atol=1e-4, rtol=1e-3)


def test_the_published_sizes() -> None:
    """stylegan3-t at 1024 px, with channels = 32768 / 2 / cutoff and at most 512."""
    sizes = {**SIZES, "resolution": 1024, "z_dim": 512, "w_dim": 512, "mapping_layers": 2}
    grids = StyleGAN3Config(**{**sizes, "channels": (1,) * 14}).grids
    channels = tuple(round(min(32768 / 2 / grid.cutoff, 512)) for grid in grids[:14])
    assert channels == (512,) * 7 + (323, 203, 128, 81, 51, 32, 32)
    assert [grid.size for grid in grids] == [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024]
    with torch.device("meta"):
        generator = StyleGAN3Generator(StyleGAN3Config(**{**sizes, "channels": channels}))
    assert len(generator.style_sizes) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": "random"}, "does not take"),
        ({"kernel": 2}, "kernel of 1 or 3"),
        ({"channels": (4, 4)}, "3 to 64 layers"),
        ({"channels": (8192,) * 5, "resolution": 2048}, "features in each layer"),
        ({"clamp": 0.0}, "positive clamp"),
    ],
)
def test_impossible_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GanverseError, match=message):
        StyleGAN3Config(**{**SIZES, "resolution": 32, "channels": (6, 5, 4, 4), **change})
