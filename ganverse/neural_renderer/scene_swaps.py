"""Swapped scenes for stage 2 of the disentangling, the same ones on any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ganverse.geometry.cameras import Cameras, concatenate
from ganverse.neural_renderer.controls import random_cameras
from ganverse.neural_renderer.scenes import Scenes
from ganverse.neural_renderer.training_scenes import Lesson

GROUP = 4
"""Consecutive scenes of a step that swap among themselves; a batch of whole groups needs nothing of other processes."""


@dataclass(frozen=True)
class Place:
    """Where a process's scenes stand among those of the step: rank of `world` processes with `count` scenes each.

    gather: [count, ...] of this process to [world * count, ...] of all, without gradient.
    """

    count: int
    rank: int = 0
    world: int = 1
    gather: Callable[[Tensor], Tensor] = lambda own: own

    @property
    def alone(self) -> bool:
        """Whether no swap reaches beyond this process."""
        return self.world == 1 or self.count % GROUP == 0

    def offsets(self) -> Int[Tensor, " count"]:
        """Numbers of the scenes, counted from the step's first one (from the process's first one, if it is alone)."""
        return torch.arange(self.count) + (0 if self.alone else self.rank * self.count)

    @property
    def scenes(self) -> int:
        """How many scenes may be swapped with."""
        return self.count if self.alone else self.world * self.count


@dataclass(frozen=True)
class Swapped:
    """Scenes that no picture of the GAN shows. kept: which have their own camera. behind, visible: as in `Lesson`."""

    scenes: Scenes
    kept: Bool[Tensor, " batch"]
    behind: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]


def swap(lesson: Lesson, table: Cameras, chance: Float[Tensor, "batch 5"], place: Place) -> Swapped:
    """Shape and texture of other scenes of the group, each at random.

    Every second scene keeps its camera and background, so that it differs from the un-swapped one in shape and texture
    alone; the others get cameras all round the object, also between the view codes (`table`), and their backgrounds
    mirrored: as natural as they were, but new. chance: in [0, 1), decides all.
    """
    scenes, offsets = lesson.scenes, place.offsets()
    device = scenes.vertices.device
    shape, texture = (partners(offsets, place.scenes, chance[:, i].cpu()).to(device) for i in range(2))
    gather = (lambda own: own) if place.alone else place.gather
    kept = (offsets % 2 == 0).to(device)
    both = concatenate([scenes.cameras, random_cameras(table, chance[:, 2:].to(table.azimuth))])
    rows = torch.arange(len(scenes), device=device) + len(scenes) * ~kept
    background, behind, visible = (
        torch.where(kept[:, None, None, None], x, x.flip(-1))
        for x in (scenes.background, lesson.behind, lesson.visible)
    )
    made = Scenes(both[rows], gather(scenes.vertices)[shape], gather(scenes.texture)[texture], background)
    return Swapped(made, kept, behind, visible)


def partners(offsets: Int[Tensor, " batch"], scenes: int, chance: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """Another scene of each one's group, `chance` in [0, 1) decides which; itself where the group is but one scene."""
    start = offsets // GROUP * GROUP
    size = (scenes - start).clamp_max(GROUP)
    shift = 1 + (chance * (size - 1)).long()
    return start + (offsets - start + shift) % size
