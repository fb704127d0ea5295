"""Swapped scenes for stage 2, independent of the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ganverse.geometry.cameras import Cameras, concatenate
from ganverse.neural_renderer.controls import random_cameras
from ganverse.neural_renderer.scenes import Scenes
from ganverse.neural_renderer.training_scenes import TrainingScene

GROUP = 4
"""Consecutive scenes of a step that swap among themselves; whole groups need no communication."""


@dataclass(frozen=True)
class ProcessSlice:
    """A process's share of a step's scenes: rank of `world` processes with `count` scenes each.

    gather: maps [count, ...] of this process to [world * count, ...] of all, without gradient.
    """

    count: int
    rank: int = 0
    world: int = 1
    gather: Callable[[Tensor], Tensor] = lambda own: own

    @property
    def alone(self) -> bool:
        """Whether all swaps stay within this process."""
        return self.world == 1 or self.count % GROUP == 0

    @property
    def start(self) -> int:
        """Index of the first scene that may be swapped with."""
        return 0 if self.alone else self.rank * self.count

    @property
    def scenes(self) -> int:
        """Number of scenes that may be swapped with."""
        return self.count if self.alone else self.world * self.count


@dataclass(frozen=True)
class SwappedScenes:
    """Copies of training scenes in combinations that no GAN image shows.

    kept: which have the camera and background of their original. background, visible: as in `TrainingScene`.
    """

    scenes: Scenes
    kept: Bool[Tensor, " batch"]
    background: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]


def swap(scene: TrainingScene, table: Cameras, chance: Float[Tensor, "batch 5"], own: ProcessSlice) -> SwappedScenes:
    """Takes shape and texture from random other scenes of the group.

    Every second scene keeps its camera and background, so that it differs from the un-swapped one in shape and texture
    only. The others get random cameras around the object, also between the view codes (`table`), and their backgrounds
    mirrored, which is new but equally natural. chance: in [0, 1), determines all choices.
    """
    inputs, device = scene.inputs, scene.images.device
    rows = torch.arange(len(inputs), device=device)
    offsets = rows + own.start
    shape, texture = (partners(offsets, own.scenes, chance[:, i]) for i in range(2))
    shapes, textures = inputs.vertices, inputs.texture
    if not own.alone:  # one gather for all: it makes every process wait
        every = own.gather(torch.cat([shapes.flatten(1), textures.flatten(1)], dim=1))
        of_shapes, of_textures = every.tensor_split([shapes[0].numel()], dim=1)
        shapes, textures = of_shapes.view(-1, *shapes.shape[1:]), of_textures.view(-1, *textures.shape[1:])
    kept = offsets % 2 == 0
    both = concatenate([inputs.cameras, random_cameras(table, chance[:, 2:].to(table.azimuth))])
    background, filled, visible = (
        torch.where(kept[:, None, None, None], x, x.flip(-1))
        for x in (inputs.background, scene.background, scene.visible)
    )
    cameras = both[rows + len(inputs) * ~kept]
    made = Scenes(cameras, shapes[shape], textures[texture], background)
    return SwappedScenes(made, kept, filled, visible)


def partners(offsets: Int[Tensor, " batch"], scenes: int, chance: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """Another scene of the same group, selected by `chance` in [0, 1); itself in groups of one."""
    start = offsets // GROUP * GROUP
    size = (scenes - start).clamp_max(GROUP)
    shift = 1 + (chance * (size - 1)).long()
    return start + (offsets - start + shift) % size
