"""Noise, truncation, the average of w and crops, for both architectures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganverse.generators.weights import GeneratorCard, load_generator, save_generator
from tests.importing_toys import stylegan1, stylegan2

MAKERS = pytest.mark.parametrize("make", [stylegan1, stylegan2])
Maker = Callable[..., Any]


def image(generator: Any, noise: Any = None) -> torch.Tensor:
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    return generator.synthesize(generator.styles(generator.map(z)), noise)


@MAKERS
def test_noise_modes(make: Maker) -> None:
    constant = make()
    modes = {mode: make(noise=mode) for mode in ("random", "none")}
    for generator in modes.values():
        generator.load_state_dict(constant.state_dict())
    planes = [plane.clone() for plane in constant.noise_planes]
    assert constant.noise_shapes == modes["none"].noise_shapes == ()
    assert modes["random"].noise_shapes == tuple(tuple(plane.shape[2:]) for plane in planes)
    assert torch.equal(image(modes["random"]), image(modes["none"]))
    assert not torch.equal(image(constant), image(modes["none"]))
    assert torch.equal(image(modes["random"], planes), image(constant))
    other = [torch.randn(2, 1, *shape) for shape in modes["random"].noise_shapes]
    assert not torch.equal(image(modes["random"], other), image(constant))


@MAKERS
def test_truncation(make: Maker) -> None:
    generator = make(truncation=0.5)
    z = torch.randn(4, 6)
    free = generator.map(z, 1.0)
    torch.testing.assert_close(generator.map(z), (free + generator.w_average) / 2)
    torch.testing.assert_close(generator.map(z, 0.0), generator.w_average.expand(4, -1))


@MAKERS
def test_average_of_w(make: Maker) -> None:
    generator = make()
    generator.estimate_average(50_000)
    w = generator.map(torch.randn(50_000, 6))
    assert (generator.w_average - w.mean(dim=0)).abs().max() < 0.05 * w.std()


@MAKERS
def test_crop_is_the_center(make: Maker) -> None:
    whole, cropped = make(), make(crop=(12, 16))
    cropped.load_state_dict(whole.state_dict())
    assert image(cropped).shape == (2, 3, 12, 16)
    assert torch.equal(image(cropped), image(whole)[:, :, 2:14])


@MAKERS
def test_weights_and_card(make: Maker, tmp_path: Path) -> None:
    generator = make(crop=(12, 16), truncation=0.7)
    card = GeneratorCard(generator.config, "MIT", "toys", 0, 0, source="a.pkl", source_sha256="12")
    written = save_generator(generator, tmp_path / "a.safetensors", card)
    loaded, read = load_generator(tmp_path / "a.safetensors")
    assert read == written
    assert type(loaded) is type(generator)
    assert torch.equal(image(loaded), image(generator))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@MAKERS
def test_gradients_reach_styles_and_weights(make: Maker) -> None:
    generator = make().requires_grad_(True)
    styles = torch.randn(1, sum(generator.style_sizes), requires_grad=True)
    generator.synthesize_raw(styles).square().sum().backward()
    assert styles.grad is not None
    assert styles.grad.abs().min() > 0
    assert all(
        p.grad is not None for name, p in generator.named_parameters() if "affine" not in name and "mapp" not in name
    )
