"""What StyleGAN-R renders: a batch of cameras, shapes, textures and backgrounds that can be swapped one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.geometry.cameras import Cameras, concatenate


@dataclass(frozen=True)
class Scenes:
    """A batch of inputs of StyleGAN-R.

    cameras: world frame. vertices: of meshes in the template's topology, world frame. texture: UV images in [0, 1],
    row 0 at v = 1. background: images in [0, 1] without their object (`remove_object`).
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
        """Every scene `repeats` times in a row."""
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
        """Take shape, texture or background of scene i from scene index[i]; None keeps its own."""
        return replace(
            self,
            vertices=self.vertices if shape is None else self.vertices[shape],
            texture=self.texture if texture is None else self.texture[texture],
            background=self.background if background is None else self.background[background],
        )


def joined(first: Scenes, second: Scenes) -> Scenes:
    """Both batches, one after the other."""
    return Scenes(
        concatenate([first.cameras, second.cameras]),
        torch.cat([first.vertices, second.vertices]),
        torch.cat([first.texture, second.texture]),
        torch.cat([first.background, second.background]),
    )
