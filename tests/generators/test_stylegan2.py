from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator, style_slices
from ganverse.generators.stylegan2 import StyledConvolution, StyleGAN2Config, StyleGAN2Generator, ToRGB, upsample
from ganverse.generators.weights import GeneratorCard, load_generator, save_generator

CONFIG = StyleGAN2Config(resolution=16, z_dim=8, w_dim=12, mapping_layers=2, channels=(8, 6, 4), view_layers=2)


@pytest.fixture
def generator() -> StyleGAN2Generator:
    """Random weights, with biases and noise strengths that matter."""
    made = StyleGAN2Generator(CONFIG)
    for name, parameter in made.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            torch.nn.init.normal_(parameter, 0.5, 0.2)
    return made.requires_grad_(False)


def styles_of(generator: StyleGAN2Generator, batch: int = 3, resolution: int | None = None) -> Tensor:
    return generator.styles(generator.map(torch.randn(batch, CONFIG.z_dim)), resolution)


def test_shapes_and_range(generator: StyleGAN2Generator) -> None:
    assert isinstance(generator, ImageGenerator)
    styles = styles_of(generator)
    assert styles.shape == (3, sum(generator.style_sizes))
    assert len(generator.style_sizes) == CONFIG.layers == 6
    images = generator.synthesize(styles * 3)
    assert images.shape == (3, 3, 16, 16)
    assert images.min() == 0
    assert images.max() == 1
    with pytest.raises(GanverseError, match="got 32"):
        generator.synthesize_raw(styles, resolution=32)


@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_lower_resolutions_need_a_prefix_of_the_styles(generator: StyleGAN2Generator, resolution: int) -> None:
    w = generator.map(torch.randn(2, CONFIG.z_dim))
    part, whole = generator.styles(w, resolution), generator.styles(w)
    assert torch.equal(part, whole[:, : part.shape[1]])
    assert torch.equal(
        generator.synthesize_raw(part, resolution=resolution), generator.synthesize_raw(whole, resolution=resolution)
    )
    assert generator.synthesize_raw(part, resolution=resolution).shape == (2, 3, resolution, resolution)


@pytest.mark.parametrize("layer", range(CONFIG.layers))
def test_a_layers_code_changes_its_own_styles_and_only_later_images(generator: StyleGAN2Generator, layer: int) -> None:
    w = generator.map(torch.randn(2, CONFIG.z_dim))[:, None].repeat(1, CONFIG.layers, 1)
    mixed = w.clone()
    mixed[:, layer] = generator.map(torch.randn(2, CONFIG.z_dim))
    before, after = generator.styles(w), generator.styles(mixed)
    changed = [bool((before[:, s] != after[:, s]).any()) for s in style_slices(generator.style_sizes)]
    assert changed == [index == layer for index in range(CONFIG.layers)]
    for depth, resolution in enumerate((4, 8, 16), 1):
        same = torch.equal(
            generator.synthesize_raw(before, resolution=resolution),
            generator.synthesize_raw(after, resolution=resolution),
        )
        assert same == (layer >= 2 * depth), "layers 2k, 2k + 1 begin to work in block k"


def test_one_code_for_all_layers_equals_the_same_code_per_layer(generator: StyleGAN2Generator) -> None:
    w = generator.map(torch.randn(2, CONFIG.z_dim))
    assert torch.equal(generator.styles(w), generator.styles(w[:, None].repeat(1, CONFIG.layers, 1)))


def test_fade_ends_at_the_lower_and_at_the_higher_resolution(generator: StyleGAN2Generator) -> None:
    styles = styles_of(generator)
    below, above = generator.synthesize_raw(styles, resolution=8), generator.synthesize_raw(styles, resolution=16)
    torch.testing.assert_close(generator.synthesize_raw(styles, fade=0.0), upsample(below))
    assert torch.equal(generator.synthesize_raw(styles, fade=1.0), above)
    torch.testing.assert_close(generator.synthesize_raw(styles, fade=0.25), torch.lerp(upsample(below), above, 0.25))


@pytest.mark.parametrize("style_scale", [0.1, 1.0, 30.0])
def test_demodulation_gives_unit_variance(style_scale: float) -> None:
    layer = StyledConvolution(32, 16, 4)
    style = torch.randn(4, 32) * style_scale
    out = layer(torch.randn(4, 32, 32, 32), style, None)[..., 1:-1, 1:-1]
    # leaky ReLU times sqrt(2) of a standard normal number has the second moment 1 + 0.2**2
    moments = out.square().mean(dim=(2, 3))
    torch.testing.assert_close(moments, torch.full_like(moments, 1.04), atol=0.2, rtol=0)
    assert moments.mean().item() == pytest.approx(1.04, abs=0.03)


@pytest.mark.parametrize("up", [False, True])
def test_styled_convolution_equals_weights_per_sample(up: bool) -> None:
    """Equations 1 and 3 of the paper word for word, one sample at a time."""
    layer = StyledConvolution(5, 6, 4, up=up)
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(layer.noise_strength, 0.7)
    x, style, noise = torch.randn(3, 5, 8, 8), torch.randn(3, 5), torch.randn(3, 1, 8, 8)
    expected = []
    for sample in range(3):
        weight = layer.weight * style[sample][None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out = F.conv2d(x[sample : sample + 1], weight, layer.bias, padding=1) + 0.7 * noise[sample]
        if up:
            out = F.interpolate(out, scale_factor=2.0, mode="bilinear")
        expected.append(F.leaky_relu(out, 0.2) * 2**0.5)
    torch.testing.assert_close(layer(x, style, noise), torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_colors_equal_a_modulated_1x1_convolution() -> None:
    layer = ToRGB(5, 4)
    torch.nn.init.normal_(layer.bias)
    x, style = torch.randn(2, 5, 4, 4), torch.randn(2, 5)
    expected = F.conv2d(x * style[:, :, None, None], layer.weight[:, :, None, None] / 5**0.5, layer.bias)
    torch.testing.assert_close(layer(x, style), expected)


def test_noise(generator: StyleGAN2Generator) -> None:
    styles = styles_of(generator)
    noise = generator.noise(3, seed=1)
    assert [plane.shape[2:] for plane in noise] == list(generator.noise_shapes)
    again = generator.noise(3, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(noise, again, strict=True))
    silent = generator.synthesize(styles)
    assert torch.equal(silent, generator.synthesize(styles))
    for index in range(len(noise)):
        planes = [plane if k == index else torch.zeros_like(plane) for k, plane in enumerate(noise)]
        assert not torch.equal(generator.synthesize(styles, planes), silent), f"noise {index} has no effect"
    shared = [plane[:1] for plane in noise]
    repeated = [plane[:1].repeat(3, 1, 1, 1) for plane in noise]
    torch.testing.assert_close(generator.synthesize(styles, shared), generator.synthesize(styles, repeated))


def test_truncation(generator: StyleGAN2Generator) -> None:
    z = torch.randn(4, CONFIG.z_dim)
    w = generator.map(z)
    for _ in range(3):
        generator.track_average(w, decay=0.5)
    average = generator.w_average
    torch.testing.assert_close(average, w.mean(dim=0) * (1 - 0.5**3))
    torch.testing.assert_close(generator.map(z, 0.0), average.expand(4, -1))
    torch.testing.assert_close(generator.map(z, 0.5), (w + average) / 2)


def test_mapping_looks_at_the_direction_of_z(generator: StyleGAN2Generator) -> None:
    z = torch.randn(4, CONFIG.z_dim)
    torch.testing.assert_close(generator.map(3 * z), generator.map(z))
    assert not torch.allclose(generator.map(-z), generator.map(z), atol=0.1)


def test_every_parameter_of_the_resolution_learns() -> None:
    generator = StyleGAN2Generator(CONFIG)
    generator.synthesize_raw(
        styles_of(generator, resolution=8), generator.noise(3, seed=0), resolution=8
    ).square().sum().backward()
    idle = {name for name, parameter in generator.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in generator.named_parameters() if name.startswith("blocks.2.")}
    assert all(parameter.grad.any() for name, parameter in generator.named_parameters() if name not in idle)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolution": 32},
        {"channels": (8,)},
        {"view_layers": 7},
        {"view_layers": -1},
        {"view_inputs": 0},
        {"first_rgb": 32},
    ],
)
def test_impossible_architectures_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(GanverseError):
        StyleGAN2Config(**{"resolution": 16, "channels": (8, 8, 8), "view_layers": 2, **wrong})


def test_without_noise_there_is_none_to_give() -> None:
    generator = StyleGAN2Generator(StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, channels=(4, 4), noise=False))
    assert generator.noise_shapes == ()
    styles = generator.styles(generator.map(torch.randn(2, 4)))
    noise = generator.noise(2, seed=0)
    assert torch.equal(generator.synthesize(styles, noise), generator.synthesize(styles))


def test_view_layers_read_the_leading_dimensions_of_w_and_early_blocks_add_no_colors(tmp_path: Path) -> None:
    config = StyleGAN2Config(16, z_dim=6, w_dim=6, channels=(8, 6, 4), view_layers=2, view_inputs=2, first_rgb=16)
    generator = StyleGAN2Generator(config)
    w = torch.randn(1, 6)
    other = torch.cat([w[:, :2], torch.randn(1, 4)], dim=1)
    mine, others = (generator.styles(x).split(list(generator.style_sizes), dim=1) for x in (w, other))
    assert [torch.equal(a, b) for a, b in zip(mine, others, strict=True)] == [True] * 2 + [False] * 4
    assert [block.to_rgb is None for block in generator.blocks] == [True, True, False]
    save_generator(generator, tmp_path / "g.safetensors", GeneratorCard(config, "Apache-2.0", "noise", 0, 0))
    loaded, _ = load_generator(tmp_path / "g.safetensors")  # the card holds the architecture
    torch.testing.assert_close(loaded.synthesize(loaded.styles(w)), generator.synthesize(generator.styles(w)))
