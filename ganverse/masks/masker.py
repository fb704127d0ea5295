"""Interface of mask sources, and separating the objects of a probability map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """Foreground of a batch of images: soft coverage in [0, 1] of the main object, and the number of objects."""

    foreground: Float[Tensor, "batch 1 height width"]
    instances: Int[Tensor, " batch"]


@runtime_checkable
class Masker(Protocol):
    """Predicts masks of images in [0, 1]. `name` identifies the source of the masks in data fingerprints."""

    name: str

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Masks of a batch; no mask depends on the other images of the batch."""
        ...


def separate_instances(probability: Float[Tensor, "batch 1 height width"], *, min_area: float = 0.01) -> Masks:
    """Counts the objects of a foreground probability and keeps the largest one.

    Objects are 8-connected components above one half; components below `min_area` (share of the image) are ignored. The
    soft rim within two pixels of the largest component is kept, everything else becomes 0.
    """
    labels = label_components(probability[:, 0] > 0.5)
    areas = component_areas(labels)
    pixels = probability.shape[2] * probability.shape[3]
    largest, label = areas.max(dim=1)
    instances = (areas >= max(1.0, min_area * pixels)).sum(dim=1)
    main = (labels == label[:, None, None]) & (largest > 0)[:, None, None]
    near = F.max_pool2d(main[:, None].float(), 5, stride=1, padding=2)
    return Masks(probability * near, instances)


def label_components(masks: Bool[Tensor, "batch height width"]) -> Int[Tensor, "batch height width"]:
    """8-connected components: 0 is background, each component has a positive number unique in its image.

    Labels start as pixel numbers, and the largest spreads (3x3 maximum). Following each label to its own pixel's label
    halves the remaining distance, so even a spiral needs only about log(length) rounds.
    """
    batch, height, width = masks.shape
    pixel = torch.arange(1, height * width + 1, device=masks.device).view(1, height, width)
    labels = torch.where(masks, pixel, 0)
    while True:
        # Pixel numbers are exact in float64 at any image size; not every device has integer max-pooling.
        spread = F.max_pool2d(labels[:, None].double(), 3, stride=1, padding=1)[:, 0].long()
        spread = torch.where(masks, spread, 0).flatten(1)
        followed = spread.gather(1, (spread - 1).clamp_min(0))
        new = torch.where(masks, followed.view(batch, height, width), 0)
        if torch.equal(new, labels):
            return labels
        labels = new


def component_areas(labels: Int[Tensor, "batch height width"]) -> Int[Tensor, "batch labels"]:
    """Pixel count of every label (column = label; the background's column 0 is set to 0)."""
    batch, height, width = labels.shape
    areas = torch.zeros(batch, height * width + 1, dtype=torch.long, device=labels.device)
    areas.scatter_add_(1, labels.flatten(1), torch.ones_like(labels).flatten(1))
    areas[:, 0] = 0
    return areas


def soft_iou(
    a: Float[Tensor, "batch 1 height width"], b: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Sum of minima over sum of maxima in [0, 1]: identical soft masks have IoU 1."""
    joint, either = torch.minimum(a, b).flatten(1), torch.maximum(a, b).flatten(1)
    return joint.sum(dim=1) / either.sum(dim=1).clamp_min(1e-6)
