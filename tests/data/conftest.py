"""A tiny random StyleGAN2 with view codes, and masks that reject about a third of its pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.masks.masker import Masks, separate_instances
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims


class BrightPixels:
    """A `Masker` for pictures without meaning: what is brighter than the picture's mean is foreground."""

    name = "bright pixels"

    def __call__(self, images: Tensor) -> Masks:
        gray = images.mean(dim=1, keepdim=True)
        return separate_instances(((gray - gray.mean(dim=(2, 3), keepdim=True)) * 8 + 0.5).clamp(0, 1), min_area=0.08)


@pytest.fixture
def generator() -> StyleGAN2Generator:
    torch.manual_seed(3)
    config = StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
    generator = StyleGAN2Generator(config)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return generator


@pytest.fixture
def codes(generator: StyleGAN2Generator) -> ViewCodes:
    views = tuple(ViewCode(seed, 30.0 * seed) for seed in range(12))
    return ViewCodes("tiny", layer_dims(generator.style_sizes, 2), views)


@pytest.fixture
def sampler(generator: StyleGAN2Generator, codes: ViewCodes) -> MultiViewSampler:
    return MultiViewSampler(generator, codes, BrightPixels(), SamplingSettings(seed=5, block=4))
