"""A segmenter out of annotated images of a GAN whose objects are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.style_based import StyleBasedGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import load_generator
from ganverse.masks.learning import (
    ANNOTATED_SEED,
    LearningSettings,
    images_and_features,
    learn_segmenter,
    mixed_styles,
    train_pixel_classifier,
)
from ganverse.masks.masker import soft_iou
from ganverse.masks.segmenter import Segmenter, SegmenterTraining
from ganverse.pretrained import SHIPPED
from ganverse.random_streams import latents
from ganverse.worlds.generator import CarWorldGenerator
from tests.importing_toys import stylegan1, stylegan2

CONFIG = StyleGAN2Config(resolution=32, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8, 8), view_layers=2)


def test_features_of_every_family() -> None:
    for generator in (StyleGAN2Generator(CONFIG), stylegan1(), stylegan2(), stylegan2(branches="residual")):
        styles = generator.styles(generator.map(torch.randn(2, generator.z_dim)))
        images, features = images_and_features(generator, styles, 16)
        assert torch.equal(images, generator.synthesize(styles))
        assert features.shape == (2, sum(generator.config.channels), 16, 16)
        assert features.std() > 0
        assert not any(block._forward_hooks for block in generator.blocks)


def test_features_are_those_of_the_whole_square() -> None:
    generator = stylegan2(crop=(12, 16))
    styles = generator.styles(generator.map(torch.randn(1, generator.z_dim)))
    images, features = images_and_features(framed(generator), styles, 16)
    assert images.shape == (1, 3, 16, 16)
    assert torch.equal(features, images_and_features(generator, styles, 16)[1])
    world = CarWorldGenerator(32)
    with pytest.raises(GanverseError, match="expected a StyleGAN"):
        images_and_features(world, world.styles(world.map(torch.randn(1, world.z_dim))), 16)


def test_the_classifier_finds_the_annotated_pixels() -> None:
    pixels = torch.randn(2000, 5) * 3 + 1
    truth = (pixels[:, 1] + pixels[:, 3].abs() > 3).float()
    classifier = train_pixel_classifier(pixels[:1500], truth[:1500], steps=100)
    assert ((classifier(pixels[1500:]) > 0) == (truth[1500:] > 0.5)).float().mean() > 0.88
    with pytest.raises(GanverseError, match="white for the object"):
        train_pixel_classifier(pixels, torch.zeros(2000))


def test_a_handful_of_annotated_images_is_enough() -> None:
    """On the embedded GAN; the shipped segmenter's outlines stand in for a person's."""
    generator, _ = load_generator(SHIPPED / "gan-car.safetensors")
    annotator = Segmenter.from_pretrained()
    training = SegmenterTraining(steps=50, batch=8, learning_rate=1e-2)
    settings = LearningSettings(labeled=64, folds=2, segmenter=training)
    _, outlines = annotated(generator, annotator, ANNOTATED_SEED, 6)
    numbers = [0, 2, 3, 5]
    learned = learn_segmenter(generator, numbers, outlines[numbers], settings)
    images, truth = annotated(generator, annotator, 77, 32)
    with torch.no_grad():
        found = (learned.segmenter.probability(images) > 0.5).float()
    constant = (truth.mean(dim=0, keepdim=True) > 0.5).float().expand_as(truth)
    assert soft_iou(constant, truth).mean() < 0.75, "no mask that ignores the image comes near the bar"
    assert soft_iou(found, truth).mean() > 0.85
    assert learned.left_out_iou > 0.85, "two annotated images tell the outlines of the other two"
    assert learned.agreement > 0.85
    with pytest.raises(GanverseError, match="at least two images"):
        learn_segmenter(generator, [0], outlines[:1], settings)


@torch.no_grad()
def annotated(
    generator: StyleBasedGenerator, annotator: Segmenter, seed: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of the GAN and their outlines (0 or 1)."""
    images = generator.synthesize(mixed_styles(generator, seed, range(count)))
    return images, (annotator.probability(images) > 0.5).float()


def test_views_of_the_annotated_images_come_from_other_codes() -> None:
    generator = StyleGAN2Generator(CONFIG)
    styles = mixed_styles(generator, 3, [0, 5])
    torch.testing.assert_close(styles[1:], mixed_styles(generator, 3, [5]))
    first, second = generator.styles(generator.map(latents(3, [10, 11], 8)))
    views = sum(generator.style_sizes[:2])
    torch.testing.assert_close(styles[1], torch.cat([second[:views], first[views:]]))


@pytest.mark.parametrize("values", [{"labeled": 1}, {"folds": 1}, {"classifier_steps": 0}])
def test_impossible_settings(values: dict[str, Any]) -> None:
    with pytest.raises(GanverseError, match="labeled and folds of at least 2"):
        LearningSettings(**values)
    with pytest.raises(GanverseError, match="at least 1"):
        SegmenterTraining(steps=0)
