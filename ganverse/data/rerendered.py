"""StyleGAN-R as a multi-view source: the GAN's objects, painted again under cameras that are known exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.data.sampling import DerivedSampler, Drawn, MultiViewSampler
from ganverse.errors import GanverseError
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.io import quantize
from ganverse.masks.filtering import filter_masks
from ganverse.masks.masker import Masker, Masks
from ganverse.neural_renderer.backgrounds import remove_object
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes
from ganverse.neural_renderer.weights import StyleGANRCard, load_stylegan_r


@dataclass(frozen=True)
class Steering:
    """An opened StyleGAN-R and the inverse network that reads its scenes off the GAN's pictures."""

    renderer: StyleGANR
    card: StyleGANRCard
    reader: InverseModel


def open_steering(renderer: Path, reader: Path, generator_sha256: str, views: int) -> Steering:
    """Loads both.

    Raises:
        GanverseError: a file is missing or broken, or they do not belong to each other or to the generator.
    """
    painter, card = load_stylegan_r(renderer)
    model = load_inverse(reader)
    if card.generator_sha256 != generator_sha256 or card.inverse_sha256 != model.card.sha256:
        raise GanverseError(
            f"expected {renderer} to be a StyleGAN-R of this generator ({generator_sha256[:12]}...) taught by {reader} "
            f"({model.card.sha256[:12]}...), got one of {card.generator_sha256[:12]}... and "
            f"{card.inverse_sha256[:12]}...; give the files of one round"
        )
    if len(model.cameras) != views:
        raise GanverseError(f"expected {reader} to know {views} views, got {len(model.cameras)}; check the view codes")
    return Steering(painter, card, model)


class SteeredSampler(DerivedSampler):
    """A `Sampler`: objects, views and filter of another one, pictures by StyleGAN-R.

    Shape, texture and background are read from the object's first picture; all its pictures are then painted under the
    learned cameras of the view codes. The view ids stay what they were, so the camera table of `steering.reader` holds
    for these pictures exactly. A batch's styles stay those of the GAN.

    masker: of the painted pictures.
    """

    def __init__(self, objects: MultiViewSampler, steering: Steering, masker: Masker) -> None:
        super().__init__(objects, steering.card.sha256)  # which pins the reader
        self.steering, self.masker = steering, masker

    def to(self, device: torch.device | str) -> SteeredSampler:
        """Move everything; samples are then made there."""
        for network in (self.steering.renderer, self.steering.reader.network, self.steering.reader.cameras):
            network.to(device)
        return super().to(device)

    @torch.no_grad()
    def draw(self, indices: Int[Tensor, " batch"], *, keep_dropped: int = 0) -> Drawn:
        """The samples of these indices; `forced` marks those with a painted picture that the filter would reject."""
        drawn = self.original.draw(indices, keep_dropped=keep_dropped)
        painted = [self._paint(block, rows) for block, rows in self._blocks(drawn.batch)]
        images, masks, instances = (torch.cat(parts) for parts in zip(*painted, strict=True))
        outcome = filter_masks(Masks(masks, instances), self.settings.filter)
        shape = drawn.batch.view_ids.shape
        batch = MultiViewBatch(
            images.unflatten(0, shape),
            masks.unflatten(0, shape),
            drawn.batch.view_ids,
            drawn.batch.sample_index,
            drawn.batch.styles,
        )
        forced = drawn.forced | ~outcome.keep.view(shape).all(dim=1)
        return Drawn(batch, drawn.counts, forced, drawn.dropped_images, drawn.dropped_masks)

    def _blocks(self, batch: MultiViewBatch) -> Iterator[tuple[MultiViewBatch, int]]:
        """Parts of always the same number of objects, the last one padded (as in `data.sampling`); how many count."""
        size, views = max(1, self.settings.block // self.settings.views), batch.view_ids.shape[1]
        for start in range(0, len(batch), size):
            index = torch.arange(start, start + size, device=batch.view_ids.device).clamp_max(len(batch) - 1)
            fields = (batch.images, batch.masks, batch.view_ids, batch.sample_index, batch.styles)
            yield MultiViewBatch(*(field[index] for field in fields)), min(size, len(batch) - start) * views

    def _paint(self, batch: MultiViewBatch, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, masks and numbers of instances of all views, object by object; the first `rows` of them."""
        first, model = batch.images[:, 0], self.steering.reader
        seen = model.network(first)
        background = remove_object(first, batch.masks[:, 0])
        scenes = Scenes(model.cameras(batch.view_ids[:, 0]), seen.vertices, seen.texture, background)
        every = scenes.repeat_interleave(batch.view_ids.shape[1])
        images = quantize(self.steering.renderer.render(every.seen_from(model.cameras(batch.view_ids.flatten()))))
        found = self.masker(images)
        return images[:rows].contiguous(), quantize(found.foreground)[:rows].contiguous(), found.instances[:rows]
