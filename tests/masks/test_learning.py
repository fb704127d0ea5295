"""A segmenter out of painted pictures: of a GAN whose objects are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import Generator, load_generator
from ganverse.masks.features import pictures_and_features, plain_generator
from ganverse.masks.learning import LearningSettings, learn_segmenter, mixed_styles
from ganverse.masks.painted import mask_path, painted_numbers, picture_path, read_masks, write_pictures
from ganverse.masks.pixel_classifier import PixelTraining, train_pixel_classifier
from ganverse.masks.segmenter import Segmenter
from ganverse.masks.training import SegmenterTraining, soft_iou
from ganverse.pretrained import SHIPPED
from ganverse.random_streams import latents
from ganverse.worlds.generator import CarWorldGenerator
from tests.importing_toys import stylegan1, stylegan2

CONFIG = StyleGAN2Config(resolution=32, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8, 8), view_layers=2)


def test_features_of_every_family() -> None:
    for generator in (StyleGAN2Generator(CONFIG), stylegan1(), stylegan2(), stylegan2(branches="residual")):
        styles = generator.styles(generator.map(torch.randn(2, generator.z_dim)))
        images, features = pictures_and_features(generator, styles, 16)
        assert torch.equal(images, generator.synthesize(styles))
        assert features.shape == (2, sum(generator.config.channels), 16, 16)
        assert features.std() > 0
        assert not any(block._forward_hooks for block in generator.blocks)


def test_features_are_those_of_the_whole_square() -> None:
    generator = stylegan2(crop=(12, 16))
    styles = generator.styles(generator.map(torch.randn(1, generator.z_dim)))
    images, features = pictures_and_features(framed(generator), styles, 16)
    assert images.shape == (1, 3, 16, 16)
    assert torch.equal(features, pictures_and_features(generator, styles, 16)[1])
    with pytest.raises(GanverseError, match="expected a StyleGAN"):
        plain_generator(CarWorldGenerator(32))


def test_the_classifier_finds_the_pixels_that_were_painted() -> None:
    pixels = torch.randn(2000, 5) * 3 + 1
    truth = (pixels[:, 1] + pixels[:, 3].abs() > 3).float()
    classifier = train_pixel_classifier(pixels[:1500], truth[:1500], PixelTraining(steps=200, pixels=256))
    assert ((classifier(pixels[1500:]) > 0) == (truth[1500:] > 0.5)).float().mean() > 0.88
    with pytest.raises(GanverseError, match="white for the object"):
        train_pixel_classifier(pixels, torch.zeros(2000))


def test_a_handful_of_painted_pictures_is_enough(tmp_path: Path) -> None:
    """On the embedded GAN; the shipped segmenter's outlines stand in for painted ones."""
    generator, _ = load_generator(SHIPPED / "gan-car.safetensors")
    painter = Segmenter.car()
    settings = LearningSettings(labeled=64, folds=2, learning=SegmenterTraining(steps=50, batch=8, learning_rate=1e-2))
    shown, outlines = painted(generator, painter, settings.paint_seed, 6)
    write_pictures(shown, tmp_path)
    for number in (0, 2, 3, 5):
        white = (outlines[number, 0] * 255).byte().numpy()
        Image.fromarray(white).resize((256, 256), Image.Resampling.NEAREST).save(mask_path(tmp_path, number))
    numbers = painted_numbers(tmp_path, 6)
    assert numbers == [0, 2, 3, 5]
    masks = read_masks(tmp_path, numbers, 64)
    assert torch.equal(masks, outlines[numbers])
    learned = learn_segmenter(generator, numbers, masks, settings)
    pictures, truth = painted(generator, painter, 77, 32)
    with torch.no_grad():
        found = (learned.segmenter(pictures) > 0.5).float()
    constant = (truth.mean(dim=0, keepdim=True) > 0.5).float().expand_as(truth)
    assert soft_iou(constant, truth).mean() < 0.75, "no mask that ignores the picture comes near the bar"
    assert soft_iou(found, truth).mean() > 0.85
    assert learned.left_out_iou > 0.85, "two painted pictures tell the outlines of the other two"
    assert learned.agreement > 0.85


@torch.no_grad()
def painted(generator: Generator, painter: Segmenter, seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of the GAN and their outlines (0 or 1) by a painter who knows."""
    pictures = generator.synthesize(mixed_styles(generator, seed, range(count)))
    return pictures, (painter(pictures) > 0.5).float()


def test_views_of_the_painted_pictures_come_from_other_codes() -> None:
    generator = StyleGAN2Generator(CONFIG)
    styles = mixed_styles(generator, 3, [0, 5])
    torch.testing.assert_close(styles[1:], mixed_styles(generator, 3, [5]))
    first, second = generator.styles(generator.map(latents(3, [10, 11], 8)))
    views = sum(generator.style_sizes[:2])
    torch.testing.assert_close(styles[1], torch.cat([second[:views], first[views:]]))


def test_painting_again_spares_what_is_there(tmp_path: Path) -> None:
    write_pictures(torch.zeros(2, 3, 16, 16), tmp_path)
    picture_path(tmp_path, 1).unlink()
    write_pictures(torch.ones(2, 3, 16, 16), tmp_path)
    assert [int(np.array(Image.open(picture_path(tmp_path, k))).max()) for k in (0, 1)] == [0, 255]


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    write_pictures(torch.zeros(2, 3, 16, 16), tmp_path)
    Image.new("L", (16, 16)).save(mask_path(tmp_path, 0))
    with pytest.raises(GanverseError, match="256 x 256, got 16 x 16"):
        read_masks(tmp_path, [0], 16)
    mask_path(tmp_path, 1).write_text("no picture")
    with pytest.raises(GanverseError, match="save it as PNG"):
        read_masks(tmp_path, [1], 16)
