"""StyleGAN-R as a multi-view source: the GAN's objects, synthesized again under exactly known cameras."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.sampling import Drawn, MultiViewSampler, SamplingSettings
from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.io import quantize
from ganverse.masks.filtering import filter_masks
from ganverse.masks.masker import Masker, Masks
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import StyleGANRCard, load_stylegan_r
from ganverse.viewpoints.view_codes import ViewCodes


@dataclass(frozen=True)
class Rerendering:
    """A StyleGAN-R, and the inverse network that reads scenes from the GAN's images."""

    renderer: StyleGANR
    card: StyleGANRCard
    reader: InverseModel


def open_rerendering(renderer: Path, reader: Path, generator_sha256: str, views: int) -> Rerendering:
    """Loads both networks.

    Raises:
        GanverseError: a file is missing or damaged, or the files do not belong together.
    """
    network, card = load_stylegan_r(renderer)
    model = load_inverse(reader)
    if card.generator_sha256 != generator_sha256 or card.inverse_sha256 != model.card.sha256:
        raise GanverseError(
            f"expected {renderer} to be a StyleGAN-R of this generator ({generator_sha256[:12]}...) and {reader} "
            f"({model.card.sha256[:12]}...), got one of {card.generator_sha256[:12]}... and "
            f"{card.inverse_sha256[:12]}...; give the files of one round"
        )
    if len(model.cameras) != views:
        raise GanverseError(f"expected {reader} to have {views} views, got {len(model.cameras)}; check the view codes")
    return Rerendering(network, card, model)


class RerenderedSampler(MultiViewSampler):
    """A sampler with the GAN's objects, views and filter, and images from StyleGAN-R.

    Shape, texture and background are read from the object's first image. All its images are synthesized under the
    learned cameras of the view codes, so the camera table of `rerendering.reader` is exact for these images. A batch's
    styles are those of the GAN.

    masker: for the generator's images and for the synthesized ones.
    """

    masker: Masker

    def __init__(
        self,
        generator: ImageGenerator,
        codes: ViewCodes,
        masker: Masker,
        settings: SamplingSettings,
        rerendering: Rerendering,
    ) -> None:
        super().__init__(generator, codes, masker, settings)
        self.rerendering = rerendering

    @property
    def fingerprint(self) -> str:
        """Hash of the generator's fingerprint and the renderer; the renderer's card contains the reader's hash."""
        parts = f"{super().fingerprint} {self.rerendering.card.sha256}"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def to(self, device: torch.device | str) -> RerenderedSampler:
        """Moves all networks; samples are then generated there."""
        for network in (self.rerendering.renderer, self.rerendering.reader.network, self.rerendering.reader.cameras):
            network.to(device)
        super().to(device)
        return self

    @torch.no_grad()
    def draw(self, indices: Int[Tensor, " batch"]) -> Drawn:
        """The samples of these indices in order; `forced` marks those with an image that the filter rejects."""
        drawn = super().draw(indices)
        made = [self._synthesize(block, rows) for block, rows in self._parts(drawn.batch)]
        images, masks, instances = (torch.cat(parts) for parts in zip(*made, strict=True))
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
        return Drawn(batch, drawn.counts, forced)

    def _parts(self, batch: MultiViewBatch) -> Iterator[tuple[MultiViewBatch, int]]:
        """Equally sized parts (the last one padded, as in `data.sampling`), each with its number of valid objects."""
        size, views = max(1, self.settings.block // self.settings.views), batch.view_ids.shape[1]
        for start in range(0, len(batch), size):
            index = torch.arange(start, start + size, device=batch.view_ids.device).clamp_max(len(batch) - 1)
            fields = (batch.images, batch.masks, batch.view_ids, batch.sample_index, batch.styles)
            yield MultiViewBatch(*(field[index] for field in fields)), min(size, len(batch) - start) * views

    def _synthesize(self, batch: MultiViewBatch, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images, masks and instance counts of all views in object order; the first `rows` of them."""
        renderer, model = self.rerendering.renderer, self.rerendering.reader
        scenes = renderer.read(model.network, batch.images[:, 0], batch.masks[:, 0])
        every = scenes.repeat_interleave(batch.view_ids.shape[1]).seen_from(model.cameras(batch.view_ids.flatten()))
        images = quantize(renderer.framing.apply(renderer.render(every)))
        found = self.masker(images)
        return images[:rows].contiguous(), quantize(found.foreground)[:rows].contiguous(), found.instances[:rows]
