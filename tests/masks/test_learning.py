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
from ganverse.masks import learning
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


@pytest.mark.parametrize(("resolution", "side"), [(32, 32), (64, 64), (1024, 128)])
def test_masks_are_learned_at_the_generator_s_size_but_at_most_128_px(resolution: int, side: int) -> None:
    assert learning.working_side(CarWorldGenerator(resolution)) == side


def test_the_classifier_finds_the_annotated_pixels() -> None:
    pixels = torch.randn(2000, 5) * 3 + 1
    truth = (pixels[:, 1] + pixels[:, 3].abs() > 3).float()
    classifier = train_pixel_classifier(pixels[:1500], truth[:1500], steps=100)
    assert ((classifier(pixels[1500:]) > 0) == (truth[1500:] > 0.5)).float().mean() > 0.88
    scale, shift = torch.tensor([1.0, 1e3, 1e-3, 10.0, 1.0]), torch.tensor([5.0, -1e3, 0.0, 1.0, 0.0])
    rescaled = train_pixel_classifier(pixels[:1500] * scale + shift, truth[:1500], steps=100)
    torch.testing.assert_close(rescaled(pixels * scale + shift), classifier(pixels), atol=0.02, rtol=0.02)
    with pytest.raises(GanverseError, match="white for the object"):
        train_pixel_classifier(pixels, torch.zeros(2000))


def test_a_handful_of_annotated_images_is_enough() -> None:
    """On the embedded GAN; the shipped segmenter's outlines stand in for a person's."""
    generator, _ = load_generator(SHIPPED / "gan-car.safetensors")
    annotator = Segmenter.from_pretrained()
    training = SegmenterTraining(steps=80, batch=8, learning_rate=1e-2)
    settings = LearningSettings(labeled=64, folds=2, segmenter=training)
    _, outlines = annotated(generator, annotator, ANNOTATED_SEED, 6)
    numbers = [0, 2, 3, 5]
    segmenter, left_out_iou = learn_segmenter(generator, numbers, outlines[numbers], settings)
    images, truth = annotated(generator, annotator, 77, 32)
    with torch.no_grad():
        found = (segmenter.probability(images) > 0.5).float()
    constant = (truth.mean(dim=0, keepdim=True) > 0.5).float().expand_as(truth)
    assert soft_iou(constant, truth).mean() < 0.75, "no mask that ignores the image comes near the bar"
    assert soft_iou(found, truth).mean() > 0.85
    assert left_out_iou > 0.85, "two annotated images tell the outlines of the other two"
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
    with pytest.raises(GanverseError, match=f"expected {next(iter(values))} to be "):
        LearningSettings(**values)
    with pytest.raises(GanverseError, match="at least 1"):
        SegmenterTraining(steps=0)


def test_an_annotated_image_is_judged_by_a_classifier_that_has_not_seen_it() -> None:
    """Columns 0 to 4 are the object in one image, 3 to 7 in the other: what either teaches shares 2 of 8 with both."""
    column = torch.arange(8.0).expand(1, 1, 8, 8)
    masks = torch.cat([column <= 4, column >= 3]).float()
    features = [column + torch.zeros(1, 2, 8, 8)] * 2
    table = learning._pixel_table(features, masks)
    found = learning._left_out_iou(features, masks, table, LearningSettings(folds=5))
    assert found == pytest.approx(2 / 8)
