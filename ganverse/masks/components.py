"""Connected components of binary masks, for a whole batch at once and on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor


def label_components(masks: Bool[Tensor, "batch height width"]) -> Int[Tensor, "batch height width"]:
    """8-connected components: 0 is background, every component carries one positive number unique in its image.

    Labels start as pixel numbers and the largest spreads (3x3 maximum); following each label to its own pixel's label
    halves the remaining way, so even a spiral needs only about log(length) rounds.
    """
    batch, height, width = masks.shape
    pixel = torch.arange(1, height * width + 1, device=masks.device).view(1, height, width)
    labels = torch.where(masks, pixel, 0)
    while True:
        # Pixel numbers are exact in float64, whatever the image size; integers have no max-pooling on every device.
        spread = F.max_pool2d(labels[:, None].double(), 3, stride=1, padding=1)[:, 0].long()
        spread = torch.where(masks, spread, 0).flatten(1)
        followed = spread.gather(1, (spread - 1).clamp_min(0))
        new = torch.where(masks, followed.view(batch, height, width), 0)
        if torch.equal(new, labels):
            return labels
        labels = new


def component_areas(labels: Int[Tensor, "batch height width"]) -> Int[Tensor, "batch labels"]:
    """Pixels of every label (column = label number; the background's column 0 is set to 0)."""
    batch, height, width = labels.shape
    areas = torch.zeros(batch, height * width + 1, dtype=torch.long, device=labels.device)
    areas.scatter_add_(1, labels.flatten(1), torch.ones_like(labels).flatten(1))
    areas[:, 0] = 0
    return areas
