"""Inputs of StyleGAN-R: cameras, shapes, textures and backgrounds, each of which can be swapped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from ganverse.generators.framing import Framing
from ganverse.geometry.cameras import Cameras, concatenate


@dataclass(frozen=True)
class Scenes:
    """A batch of inputs of StyleGAN-R.

    cameras: world frame. vertices: in the template's topology, world frame. texture: UV images in [0, 1], row 0 at
    v = 1. background: images in [0, 1] without their object (`remove_object`).
    """

    cameras: Cameras
    vertices: Float[Tensor, "batch verts 3"]
    texture: Float[Tensor, "batch 3 tex tex"]
    background: Float[Tensor, "batch 3 size size"]

    def __len__(self) -> int:
        return len(self.vertices)

    def __getitem__(self, index: slice | Tensor) -> Scenes:
        return Scenes(self.cameras[index], self.vertices[index], self.texture[index], self.background[index])

    def repeat_interleave(self, repeats: int) -> Scenes:
        """Repeats every scene `repeats` times in a row."""
        return self[torch.arange(len(self), device=self.vertices.device).repeat_interleave(repeats)]

    def seen_from(self, cameras: Cameras) -> Scenes:
        """The same contents under other cameras."""
        return replace(self, cameras=cameras)

    def swapped(
        self,
        *,
        shape: Int[Tensor, " batch"] | None = None,
        texture: Int[Tensor, " batch"] | None = None,
        background: Int[Tensor, " batch"] | None = None,
    ) -> Scenes:
        """Takes shape, texture or background of scene i from scene index[i]; None keeps its own."""
        return replace(
            self,
            vertices=self.vertices if shape is None else self.vertices[shape],
            texture=self.texture if texture is None else self.texture[texture],
            background=self.background if background is None else self.background[background],
        )

    def joined(self, other: Scenes) -> Scenes:
        """Concatenates both batches."""
        return Scenes(
            concatenate([self.cameras, other.cameras]),
            torch.cat([self.vertices, other.vertices]),
            torch.cat([self.texture, other.texture]),
            torch.cat([self.background, other.background]),
        )


def remove_object(
    image: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
    framing: Framing | None = None,
    *,
    fill: bool = True,
) -> Float[Tensor, "batch 3 height width"]:
    """The image without its object and the rim around it (see `background_mask`).

    framing: of images with bars, which stay black and fill no hole.
    fill: fill the hole smoothly from its surroundings. With fill=False it is black as in the paper, but then its
    outline reveals shape and view to the background network. Gradients reach the image, not the mask.
    """
    if framing is not None:
        return framing.pad(remove_object(framing.crop(image), framing.crop(mask), fill=fill))
    visible = background_mask(mask).to(image.dtype)
    kept = image * visible
    return kept + (1 - visible) * _spread(kept, visible) if fill else kept


def background_mask(mask: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """1 where an image certainly shows its background; 0 on its object (mask > 0.5) and on a rim around it.

    The rim is 2 of 64 pixels, the accuracy of the segmenters, and at least 2 pixels.
    """
    grow = max(2, max(mask.shape[2:]) // 32)
    grown = max_pool2d(mask.detach(), 2 * grow + 1, stride=1, padding=grow)
    return (grown < 0.5).to(mask.dtype)


def _spread(
    color: Float[Tensor, "batch 3 height width"], weight: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """Pull-push: every hole takes the mean of its visible surroundings, at the finest scale that has any."""
    height, width = color.shape[-2:]
    if max(height, width) == 1:
        return color / weight.clamp_min(1e-6)
    kernel = (2 if height > 1 else 1, 2 if width > 1 else 1)
    coarse = _spread(avg_pool2d(color, kernel, ceil_mode=True), avg_pool2d(weight, kernel, ceil_mode=True))
    coarse = interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    # Weights are area fractions: a pixel that saw anything keeps its value.
    seen = weight > 0
    return torch.where(seen, color / weight.clamp_min(1e-6), coarse)
