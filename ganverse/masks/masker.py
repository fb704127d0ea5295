"""What the rest of ganverse expects of a source of masks, and the one made of the learned segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ganverse.masks.components import component_areas, label_components
from ganverse.masks.segmenter import Segmenter


@dataclass(frozen=True)
class Masks:
    """Foreground of a batch of images: soft coverage in [0, 1] of the main object, and how many objects there are."""

    foreground: Float[Tensor, "batch 1 height width"]
    instances: Int[Tensor, " batch"]


@runtime_checkable
class Masker(Protocol):
    """Images in [0, 1] to masks. `name` says which masks these are (it becomes part of a data fingerprint)."""

    name: str

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Masks of a batch; image by image, so that no mask depends on its neighbors in the batch."""
        ...


def separate_instances(probability: Float[Tensor, "batch 1 height width"], *, speck: float = 0.01) -> Masks:
    """Count the objects of a foreground probability and keep the largest one.

    Objects are 8-connected components above one half; components below `speck` (a share of the image) are ignored.
    The soft rim within two pixels of the largest component stays, everything else becomes 0.
    """
    labels = label_components(probability[:, 0] > 0.5)
    areas = component_areas(labels)
    pixels = probability.shape[2] * probability.shape[3]
    largest, label = areas.max(dim=1)
    instances = (areas >= max(1.0, speck * pixels)).sum(dim=1)
    main = (labels == label[:, None, None]) & (largest > 0)[:, None, None]
    near = F.max_pool2d(main[:, None].float(), 5, stride=1, padding=2)
    return Masks(probability * near, instances)


class SegmenterMasker(nn.Module):
    """A `Masker` made of a `Segmenter`."""

    def __init__(self, segmenter: Segmenter, name: str = "segmenter") -> None:
        super().__init__()
        self.segmenter = segmenter
        self.name = name

    @classmethod
    def car(cls) -> SegmenterMasker:
        """The shipped car segmenter."""
        segmenter = Segmenter.car()
        return cls(segmenter, f"segmenter-car {segmenter.sha256[:12]}")

    @classmethod
    def load(cls, path: Path) -> SegmenterMasker:
        """One of ours (`ganverse masks`); GanverseError if the file is none."""
        segmenter = Segmenter.load(path)
        return cls(segmenter, f"segmenter {segmenter.sha256[:12]}")

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Masks of images in [0, 1]."""
        return separate_instances(self.segmenter(images))
