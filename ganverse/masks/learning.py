"""From a handful of painted pictures to a segmenter: DatasetGAN's idea (Zhang et al., CVPR 2021).

A classifier of GAN features learns from the painted pixels and paints hundreds of further pictures of the same GAN;
the small U-Net that everything else uses learns from those, and works on photos too, which have no GAN features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ganverse.generators.protocol import ImageGenerator
from ganverse.masks.features import pictures_and_features
from ganverse.masks.pixel_classifier import PixelClassifier, PixelTraining, train_pixel_classifier
from ganverse.masks.segmenter import WORKING_SIZE, Segmenter
from ganverse.masks.training import SegmenterTraining, soft_iou, train_segmenter
from ganverse.random_streams import latents

_BATCH = 8
_PIXELS_PER_PICTURE = 2048


@dataclass(frozen=True)
class LearningSettings:
    """How much is painted, labeled and learned.

    paint_seed: stream of the pictures that are painted. label_seed, labeled: stream and number of those that the
    classifier paints. folds: the painted pictures are divided into so many parts, each left out in turn, to see what
    the classifier is worth. learning: of the small network, see `SegmenterTraining`.
    """

    paint_seed: int = 21
    label_seed: int = 22
    labeled: int = 256
    folds: int = 4
    pixels: PixelTraining = field(default_factory=PixelTraining)
    learning: SegmenterTraining = field(default_factory=lambda: SegmenterTraining(steps=150, batch=16))


@dataclass(frozen=True)
class Learned:
    """A segmenter and what is known of it.

    left_out_iou: of the classifier, on painted pictures it has not learned from (`folds`). agreement: IoU of the
    segmenter with the classifier on pictures that neither has seen painted.
    """

    segmenter: Segmenter
    left_out_iou: float
    agreement: float


def working_side(generator: ImageGenerator) -> int:
    """Pixels per side at which masks are learned: the generator's own, but at most 2 x `WORKING_SIZE`."""
    return min(generator.resolution, 2 * WORKING_SIZE)


@torch.no_grad()
def mixed_styles(generator: ImageGenerator, seed: int, numbers: Sequence[int]) -> Float[Tensor, "pictures styles"]:
    """w* of pictures as training shows them: the first `view_layers` layers of one latent code, the rest of another."""
    own, other = (
        generator.styles(generator.map(latents(seed, [2 * n + k for n in numbers], generator.z_dim))) for k in (0, 1)
    )
    views = sum(generator.style_sizes[: generator.view_layers])
    return torch.cat([other[:, :views], own[:, views:]], dim=1)


def learn_segmenter(
    generator: ImageGenerator,
    numbers: Sequence[int],
    masks: Float[Tensor, "painted 1 side side"],
    settings: LearningSettings | None = None,
) -> Learned:
    """Learns from the masks of the pictures `numbers` of `paint_seed`, on the CPU; the same call gives the same result.

    Raises:
        GanverseError: the masks are all black or all white.
    """
    settings = settings or LearningSettings()
    side = masks.shape[3]
    features = [
        pictures_and_features(generator, mixed_styles(generator, settings.paint_seed, [n]), side)[1] for n in numbers
    ]
    table = _pixel_table(features, masks, settings.pixels.seed)
    classifier = train_pixel_classifier(*_joined(table, range(len(table))), settings.pixels)
    left_out = _left_out_iou(features, masks, table, settings)
    images, labels = label(generator, classifier, settings, side)
    tested = max(1, len(images) // 8)
    segmenter = train_segmenter(images[tested:], labels[tested:], settings.learning)
    with torch.no_grad():
        found = segmenter(images[:tested].float() / 255)
    return Learned(segmenter, left_out, float(_iou(found, labels[:tested].float() / 255)))


@torch.no_grad()
def label(
    generator: ImageGenerator, classifier: PixelClassifier, settings: LearningSettings, side: int
) -> tuple[UInt8[Tensor, "pictures 3 side side"], UInt8[Tensor, "pictures 1 side side"]]:
    """Pictures of `label_seed` and what the classifier paints, both in 8-bit steps."""
    images, masks = [], []
    for start in range(0, settings.labeled, _BATCH):
        numbers = range(start, min(start + _BATCH, settings.labeled))
        made, features = pictures_and_features(generator, mixed_styles(generator, settings.label_seed, numbers), side)
        small = F.interpolate(made, (side, side), mode="bilinear", align_corners=False, antialias=True)
        images.append((small.clamp(0, 1) * 255).round().byte())
        masks.append((classifier.masks(features) * 255).round().byte())
    return torch.cat(images), torch.cat(masks)


def _pixel_table(features: list[Tensor], masks: Tensor, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Per painted picture a few of its pixels: features [pixels, channels] and truth [pixels]."""
    random = torch.Generator().manual_seed(seed)
    table = []
    for feature, mask in zip(features, masks, strict=True):
        chosen = torch.randperm(mask.numel(), generator=random)[:_PIXELS_PER_PICTURE]
        table.append((feature[0].flatten(1)[:, chosen].T.contiguous(), mask.flatten()[chosen]))
    return table


def _joined(table: list[tuple[Tensor, Tensor]], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    return torch.cat([table[row][0] for row in rows]), torch.cat([table[row][1] for row in rows])


def _left_out_iou(
    features: list[Tensor], masks: Tensor, table: list[tuple[Tensor, Tensor]], settings: LearningSettings
) -> float:
    """Mean IoU on pictures that the classifier has not learned from."""
    found = []
    folds = min(settings.folds, len(table))
    for fold in range(folds):
        rest = [row for row in range(len(table)) if row % folds != fold]
        if not rest:
            return float("nan")
        classifier = train_pixel_classifier(*_joined(table, rest), settings.pixels)
        found += [
            float(_iou(classifier.masks(features[row]), masks[row : row + 1])) for row in range(fold, len(table), folds)
        ]
    return sum(found) / len(found)


def _iou(found: Tensor, truth: Tensor) -> Tensor:
    return soft_iou((found > 0.5).float(), (truth > 0.5).float()).mean()
