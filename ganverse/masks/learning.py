"""Learns a segmenter from a few annotated images, after DatasetGAN (Zhang et al., CVPR 2021).

A classifier of GAN features learns from the annotated pixels and labels hundreds of further images of the same GAN. A
small U-Net learns from those. It also works on photos, which have no GAN features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ganverse.devices import device_of
from ganverse.errors import AT_LEAST_1, FROM_2, GanverseError, check_ranges
from ganverse.generators.framing import LetterboxGenerator
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.io import to_bytes
from ganverse.masks.masker import soft_iou
from ganverse.masks.segmenter import WORKING_SIZE, Segmenter, SegmenterTraining, train_segmenter
from ganverse.random_streams import latents

ANNOTATED_SEED, LABELED_SEED, TESTED_SEED = 21, 22, 23
"""Random streams of images to annotate, images that the classifier labels, and images for checking."""
_BATCH = 8
_PIXELS = 2048
"""Pixels per annotated image for training the classifier, and pixels per training step."""


@dataclass(frozen=True)
class LearningSettings:
    """Amounts of labels and training."""

    labeled: int = 256
    """Images that the pixel classifier labels for the segmenter."""
    folds: int = 4
    """Number of cross-validation folds for measuring the classifier."""
    classifier_steps: int = 150
    """Optimizer steps of the pixel classifier."""
    segmenter: SegmenterTraining = field(default_factory=lambda: SegmenterTraining(steps=150, batch=16))
    """Training of the segmenter."""

    def __post_init__(self) -> None:
        check_ranges(self, labeled=FROM_2, folds=FROM_2, classifier_steps=AT_LEAST_1)


def working_side(generator: ImageGenerator) -> int:
    """Size in pixels at which masks are learned: the generator's own, at most 2 x `WORKING_SIZE`."""
    return min(generator.resolution, 2 * WORKING_SIZE)


@torch.no_grad()
def mixed_styles(generator: ImageGenerator, seed: int, numbers: Sequence[int]) -> Float[Tensor, "images styles"]:
    """w* as in training: the first `view_layers` layers of one latent code, the rest of another."""
    own, other = (
        generator.styles(
            generator.map(latents(seed, [2 * n + k for n in numbers], generator.z_dim).to(device_of(generator)))
        )
        for k in (0, 1)
    )
    views = sum(generator.style_sizes[: generator.view_layers])
    return torch.cat([other[:, :views], own[:, views:]], dim=1)


def learn_segmenter(
    generator: ImageGenerator,
    numbers: Sequence[int],
    masks: Float[Tensor, "annotated 1 side side"],
    settings: LearningSettings | None = None,
) -> tuple[Segmenter, float]:
    """Learns from masks of the images `numbers` of stream `ANNOTATED_SEED`, on the generator's device.

    Returns the segmenter, on that device, and the classifier's IoU on left-out annotated images (cross-validation).
    Deterministic on the CPU.

    Raises:
        GanverseError: fewer than two masks, all of them black or white, or the generator is not a StyleGAN.
    """
    settings = settings or LearningSettings()
    if len(numbers) < 2:
        raise GanverseError(f"expected masks of at least two images, got {len(numbers)}; annotate more images")
    device, side = device_of(generator), masks.shape[3]
    masks = masks.to(device)
    features = [images_and_features(generator, mixed_styles(generator, ANNOTATED_SEED, [n]), side)[1] for n in numbers]
    table = _pixel_table(features, masks)
    classifier = train_pixel_classifier(*_join(table, range(len(table))), settings.classifier_steps)
    left_out = _left_out_iou(features, masks, table, settings)
    images, labels = _label(generator, classifier, settings.labeled, side)
    return train_segmenter(images, labels, settings.segmenter, device=device), left_out


@torch.no_grad()
def images_and_features(
    generator: ImageGenerator, styles: Float[Tensor, "batch styles"], side: int
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch channels side side"]]:
    """Images in [0, 1] of w*, and the features of all synthesis blocks, resampled to `side` pixels.

    Raises:
        GanverseError: the generator is not a StyleGAN.
    """
    with _recorded_blocks(_synthesis_network(generator)) as outputs:
        images = generator.synthesize(styles)
    resized = [F.interpolate(x.float(), (side, side), mode="bilinear", align_corners=False) for x in outputs]
    return images, torch.cat(resized, dim=1)


def _synthesis_network(generator: ImageGenerator) -> nn.Module:
    """The network with `blocks` inside its wrappers; the rendered car world has none."""
    inside: object = generator
    while isinstance(inside, (SubspaceGenerator, LetterboxGenerator)):
        inside = inside.generator
    if not isinstance(inside, nn.Module) or not isinstance(getattr(inside, "blocks", None), nn.ModuleList):
        name = type(inside).__name__
        raise GanverseError(f"expected a StyleGAN, whose features tell objects from background, got {name}")
    return inside


@contextmanager
def _recorded_blocks(network: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the output of every block within the `with` statement, lowest resolution first."""
    outputs: list[Tensor] = []

    def record(_: nn.Module, __: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(record) for block in network.get_submodule("blocks").children()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class PixelClassifier(nn.Module):
    """Standardized features of a pixel -> logit of belonging to the object."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Float[Tensor, " channels"], scale: Float[Tensor, " channels"], hidden: int = 32) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(nn.Linear(len(mean), hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, pixels: Float[Tensor, "pixels channels"]) -> Float[Tensor, " pixels"]:
        """Logits of pixels."""
        logits: Tensor = self.layers((pixels - self.mean) / self.scale)
        return logits[:, 0]

    @torch.no_grad()
    def masks(self, features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Probabilities in [0, 1] of whole images."""
        rows: Tensor = self(features.permute(0, 2, 3, 1).flatten(0, 2)).sigmoid()
        return rows.view(len(features), 1, *features.shape[2:])


def train_pixel_classifier(
    pixels: Float[Tensor, "pixels channels"], truth: Float[Tensor, " pixels"], steps: int = 150
) -> PixelClassifier:
    """A classifier in eval mode, on the pixels' device; truth in [0, 1]: 1 is the object.

    AdamW with a cosine schedule. Deterministic on the CPU.

    Raises:
        GanverseError: all pixels are background, or all are object.
    """
    if not 0 < float(truth.mean()) < 1:
        raise GanverseError("expected masks with white for the object and black for the rest, got only one of the two")
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = PixelClassifier(pixels.mean(dim=0), pixels.std(dim=0).clamp_min(1e-6)).to(pixels.device)
    optimizer = torch.optim.AdamW(classifier.layers.parameters(), lr=5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(pixels), (_PIXELS,), generator=random).to(pixels.device)
        loss = F.binary_cross_entropy_with_logits(classifier(pixels[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return classifier.eval().requires_grad_(False)


@torch.no_grad()
def _label(
    generator: ImageGenerator, classifier: PixelClassifier, count: int, side: int
) -> tuple[UInt8[Tensor, "images 3 side side"], UInt8[Tensor, "images 1 side side"]]:
    """The first `count` images of stream `LABELED_SEED` and the classifier's masks, on the CPU."""
    images, masks = [], []
    for numbers in torch.arange(count).split(_BATCH):
        styles = mixed_styles(generator, LABELED_SEED, numbers.tolist())
        made, features = images_and_features(generator, styles, side)
        small = F.interpolate(made, (side, side), mode="bilinear", align_corners=False, antialias=True)
        images.append(to_bytes(small).cpu())
        masks.append(to_bytes(classifier.masks(features)).cpu())
    return torch.cat(images), torch.cat(masks)


def _pixel_table(features: list[Tensor], masks: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each annotated image some of its pixels: features [pixels, channels] and truth [pixels]."""
    random = torch.Generator().manual_seed(0)
    table = []
    for feature, mask in zip(features, masks, strict=True):
        chosen = torch.randperm(mask.numel(), generator=random)[:_PIXELS].to(mask.device)
        table.append((feature[0].flatten(1)[:, chosen].T.contiguous(), mask.flatten()[chosen]))
    return table


def _join(table: list[tuple[Tensor, Tensor]], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    return torch.cat([table[row][0] for row in rows]), torch.cat([table[row][1] for row in rows])


def _left_out_iou(
    features: list[Tensor], masks: Tensor, table: list[tuple[Tensor, Tensor]], settings: LearningSettings
) -> float:
    """Mean IoU on annotated images excluded from the classifier's training."""
    found, folds = [], min(settings.folds, len(table))
    for fold in range(folds):
        rest = [row for row in range(len(table)) if row % folds != fold]
        classifier = train_pixel_classifier(*_join(table, rest), settings.classifier_steps)
        for row in range(fold, len(table), folds):
            pair = ((part > 0.5).float() for part in (classifier.masks(features[row]), masks[row : row + 1]))
            found.append(float(soft_iou(*pair)))
    return sum(found) / len(found)
