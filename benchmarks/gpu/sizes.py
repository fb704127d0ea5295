"""How much work the kit does, and a GAN of the paper's size with random weights."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, read_generator_card, save_generator
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.pipeline_toys import save_segmenter


@dataclass(frozen=True)
class Sizes:
    """pixels, faces: of the renders that are timed, `renders` at once. objects: of a step, two images each.

    steps, gan_steps: that are timed. resolution, crop, widest: of the GAN of the paper's size, in pixels and channels.
    """

    pixels: tuple[int, ...]
    faces: tuple[int, ...]
    renders: int
    objects: int
    steps: int
    gan_steps: int
    resolution: int
    crop: tuple[int, int]
    widest: int


FULL = Sizes((64, 128, 256, 512), (1280, 5120), 32, 8, 10, 50, 512, (384, 512), 512)
"""On a GPU: the paper's."""
SMALL = Sizes((64, 128), (1280,), 4, 2, 3, 3, 128, (96, 128), 16)
"""On a CPU: minutes."""
VIEWS = 39


def save_config_f(path: Path, sizes: Sizes) -> Path:
    """StyleGAN2 config-f with random weights, 39 view codes and a segmenter beside it; kept if it is there."""
    if path.exists():
        return path
    torch.manual_seed(0)
    sides = [4 * 2**k for k in range(sizes.resolution.bit_length() - 2)]
    config = PaperStyleGAN2Config(
        resolution=sizes.resolution,
        z_dim=512,
        w_dim=512,
        mapping_layers=8,
        channels=tuple(min(32768 // side, sizes.widest) for side in sides),
        view_layers=4,
        crop=sizes.crop,
    )
    generator = PaperStyleGAN2Generator(config)
    save_generator(generator, path, GeneratorCard(config, "Apache-2.0", "nothing: random weights", 0, 0))
    codes = tuple(ViewCode(seed, 360.0 / VIEWS * seed) for seed in range(VIEWS))
    dims = layer_dims(generator.style_sizes, config.view_layers)
    ViewCodes(read_generator_card(path).sha256, dims, codes).save(path.with_name(f"{path.stem}-views.yaml"))
    save_segmenter(path.with_name(f"{path.stem}-segmenter.safetensors"))
    return path
