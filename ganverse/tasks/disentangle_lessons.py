"""What StyleGAN-R is taught with: scenes read from multi-view samples, and what the frozen GAN paints for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.neural_renderer.backgrounds import remove_object, seen_behind
from ganverse.neural_renderer.scenes import Scenes
from ganverse.tasks.disentangle_teachers import Teachers


@dataclass(frozen=True)
class Lesson:
    """Scenes together with the frozen GAN's own answer.

    styles, images, masks: w* of the GAN, its picture, where that shows its object. behind: the picture that lent the
    background, its object filled in; visible: 1 where it showed its background, 0 where that is a guess. keys: a
    number for every view of every sample, on which depends what is drawn at random.
    """

    scenes: Scenes
    styles: Float[Tensor, "batch styles"]
    images: Float[Tensor, "batch 3 height width"]
    masks: Float[Tensor, "batch 1 height width"]
    behind: Float[Tensor, "batch 3 height width"]
    visible: Float[Tensor, "batch 1 height width"]
    keys: Int[Tensor, " batch"]

    def __getitem__(self, index: slice) -> Lesson:
        tensors = (self.styles, self.images, self.masks, self.behind, self.visible, self.keys)
        return Lesson(self.scenes[index], *(tensor[index] for tensor in tensors))

    def composite(self) -> Float[Tensor, "batch 3 height width"]:
        """The GAN's objects on the backgrounds asked for.

        Its own picture shows another background than the scene wherever the view code paints along, and a renderer
        that is drawn towards both learns the mean of all backgrounds. The masks are narrowed to their surer half, or
        a rim of the picture's own background comes along as a halo.
        """
        return torch.lerp(self.behind, self.images, (2 * self.masks - 1).clamp_min(0))


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
    count = batch.view_ids.shape[1]
    keys = (batch.sample_index * count + torch.arange(count, device=images.device)[:views, None]).flatten()
    return Lesson(scenes, styles, answers, answer_masks, behind, visible, keys)
