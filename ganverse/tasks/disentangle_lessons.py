"""What StyleGAN-R is taught with: scenes read from multi-view samples, and what the frozen GAN paints for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.geometry.cameras import Cameras, concatenate
from ganverse.neural_renderer.backgrounds import remove_object, seen_behind
from ganverse.neural_renderer.controls import random_cameras
from ganverse.neural_renderer.scenes import Scenes
from ganverse.tasks.disentangle_teachers import Teachers


@dataclass(frozen=True)
class Lesson:
    """Scenes together with the frozen GAN's own answer.

    styles, images, masks: w* of the GAN, its picture, where that shows its object. behind: the picture that lent the
    background, its object filled in; visible: 1 where it showed its background, 0 where that is a guess.
    """

    scenes: Scenes
    styles: Float[Tensor, "batch styles"]
    images: Float[Tensor, "batch 3 height width"]
    masks: Float[Tensor, "batch 1 height width"]
    behind: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]

    def __getitem__(self, index: slice) -> Lesson:
        tensors = (self.styles, self.images, self.masks, self.behind, self.visible)
        return Lesson(self.scenes[index], *(tensor[index] for tensor in tensors))

    def composite(self) -> Float[Tensor, "batch 3 height width"]:
        """The GAN's objects on the backgrounds asked for.

        Its own picture shows another background than the scene wherever the view code paints along, and a renderer
        that is drawn towards both learns the mean of all backgrounds.
        """
        return torch.lerp(self.behind, self.images, self.masks)


@torch.no_grad()
def read_lesson(
    batch: MultiViewBatch, teachers: Teachers, *, views: int | None = None, grow: int = 2, fill: bool = True
) -> Lesson:
    """One scene per picture: shape, texture and background of a view, under the camera of the object's NEXT view.

    So the content codes cannot lean on the view they were read from. Ordered view by view: the first b scenes are
    those read from view 0. views: how many of each object's views are read, all by default. grow, fill: see
    `remove_object`.
    """
    images, masks = (x.transpose(0, 1)[:views].flatten(0, 1) for x in (batch.images, batch.masks))
    styles, answers, answer_masks, view_ids = (
        x.transpose(0, 1).roll(-1, dims=0)[:views].flatten(0, 1)
        for x in (batch.styles, batch.images, batch.masks, batch.view_ids)
    )
    seen = teachers.inverse(images)
    behind, visible = remove_object(images, masks, grow=grow), seen_behind(masks, grow=grow)
    background = behind if fill else behind * visible
    scenes = Scenes(teachers.cameras(view_ids), seen.vertices, seen.texture, background)
    return Lesson(scenes, styles, answers, answer_masks, behind, visible)


@dataclass(frozen=True)
class Exchange:
    """Scenes that no picture of the GAN shows. behind, visible: as in `Lesson`."""

    scenes: Scenes
    behind: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]


def exchange(lesson: Lesson, table: Cameras, source: torch.Generator) -> Exchange:
    """Shapes and textures of other samples, each at random.

    The first half keeps its cameras and backgrounds, so that it differs from the un-swapped scenes in shape and texture
    alone. The others get cameras all round the object, also between the view codes, and mirrored backgrounds: as
    natural as they were, but new.
    """
    scenes, count = lesson.scenes, len(lesson.scenes)
    device = scenes.vertices.device
    shape, texture = (torch.randint(1, max(count, 2), (1,), generator=source) for _ in range(2))
    shape, texture = ((torch.arange(count) + shift).remainder(count).to(device) for shift in (shape, texture))
    kept, moved = count // 2, count - count // 2
    uniform = torch.rand(moved, 2, generator=source).to(device)
    cameras = concatenate([scenes.cameras[:kept], random_cameras(table, uniform)])
    background, behind, visible = (
        torch.cat([x[:kept], x[kept:].flip(-1)]) for x in (scenes.background, lesson.behind, lesson.visible)
    )
    swapped = scenes.swapped(shape=shape, texture=texture).seen_from(cameras)
    return Exchange(replace(swapped, background=background), behind, visible)
