"""What StyleGAN-R is taught with: scenes read from multi-view samples, and what the frozen GAN paints for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.generators.protocol import ImageGenerator
from ganverse.neural_renderer.backgrounds import remove_object, seen_behind
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.scenes import Scenes
from ganverse.viewpoints.anchoring import anchor_of, content_styles, draws_per_object
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_styles

_PER_DRAW = 32


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
def drawn_contents(
    generator: ImageGenerator, codes: ViewCodes, objects: int, seed: int, device: torch.device | str
) -> Float[Tensor, "objects styles"]:
    """w* of objects of the frozen GAN, their own views included; a pure function of the seed."""
    anchor = anchor_of(generator, codes, device=device)
    source = torch.Generator().manual_seed(seed)
    z = torch.randn(objects, draws_per_object(anchor), generator.z_dim, generator=source).to(device)
    return content_styles(generator, z, codes.view_dims, anchor)


@torch.no_grad()
def drawn_batches(
    generator: ImageGenerator, codes: ViewCodes, teachers: FrozenNetworks, objects: int, seed: int
) -> list[MultiViewBatch]:
    """Objects of the frozen GAN in one view each, the view codes in turn; unfiltered, a pure function of the seed."""
    device = teachers.cameras.all().azimuth.device
    contents = drawn_contents(generator, codes, objects, seed, device)
    views, view_ids = view_styles(generator, codes, device=device), torch.arange(objects, device=device) % len(codes)
    styles = mix_styles(contents, views[view_ids], codes.view_dims)
    batches = []
    for index in torch.arange(objects, device=device).split(_PER_DRAW):
        images = generator.synthesize(styles[index])
        masks = teachers.segmenter(images)
        parts = (images, masks, view_ids[index], styles[index])
        images, masks, ids, own = (part[:, None] for part in parts)
        batches.append(MultiViewBatch(images=images, masks=masks, view_ids=ids, sample_index=index, styles=own))
    return batches


@torch.no_grad()
def read_lesson(
    batch: MultiViewBatch,
    teachers: FrozenNetworks,
    *,
    views: int | None = None,
    grow: int = 2,
    fill: bool = True,
    own_texture: bool = False,
) -> Lesson:
    """One scene per picture: shape, texture and background of a view, under the camera of the object's NEXT view.

    So the content codes cannot lean on the view they were read from. Ordered view by view: the first b scenes are
    those read from view 0. views: how many of each object's views are read, all by default. grow, fill: see
    `remove_object`. own_texture: the texture is that of the answer itself. Small GANs paint some view codes in colors
    of their own (one of the embedded GAN shows every car gray), and a renderer that is asked for the colors of another
    view than it is shown learns not to listen.
    """
    images, masks = (x.transpose(0, 1)[:views].flatten(0, 1) for x in (batch.images, batch.masks))
    styles, answers, answer_masks, view_ids = (
        x.transpose(0, 1).roll(-1, dims=0)[:views].flatten(0, 1)
        for x in (batch.styles, batch.images, batch.masks, batch.view_ids)
    )
    seen = teachers.inverse(images)
    behind, visible = remove_object(images, masks, grow=grow), seen_behind(masks, grow=grow)
    background = behind if fill else behind * visible
    texture = teachers.inverse(answers).texture if own_texture else seen.texture
    scenes = Scenes(teachers.cameras(view_ids), seen.vertices, texture, background)
    count = batch.view_ids.shape[1]
    keys = (batch.sample_index * count + torch.arange(count, device=images.device)[:views, None]).flatten()
    return Lesson(scenes, styles, answers, answer_masks, behind, visible, keys)
