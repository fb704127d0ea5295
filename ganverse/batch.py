"""The batch that every multi-view source returns, from a generator or from disk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.devices import upload


@dataclass(frozen=True)
class MultiViewBatch:
    """Several views of every object.

    images: RGB in [0, 1]. masks: coverage in [0, 1]. view_ids: row in the camera table (index of the view code).
    sample_index: global sample number of each object, on the CPU, where the host reads it. styles: w* of every image.
    placement: how the images were mirrored, scaled and shifted (`Cameras.placed`); None means unchanged.
    """

    images: Float[Tensor, "batch views 3 height width"]
    masks: Float[Tensor, "batch views 1 height width"]
    view_ids: Int[Tensor, "batch views"]
    sample_index: Int[Tensor, " batch"]
    styles: Float[Tensor, "batch views styles"]
    placement: Float[Tensor, "batch views 4"] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> MultiViewBatch:
        """Copies the batch to another device."""
        tensors = (self.images, self.masks, self.view_ids, self.styles)
        images, masks, view_ids, styles = (upload(x, device) for x in tensors)
        placement = None if self.placement is None else upload(self.placement, device)
        return MultiViewBatch(images, masks, view_ids, self.sample_index, styles, placement)
