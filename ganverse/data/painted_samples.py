"""Masks of multi-view samples from a folder of PNG files, whoever or whatever has made them.

First the folder gets the pictures: `000012-0.png` is sample 12 in the first of its views. Beside each belongs its mask,
`000012-0-mask.png`, white on the object. Which pictures these are stands in `samples.json`, so that masks never meet
the pictures of another generator, other view codes or another seed; correcting azimuths changes no picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START
from ganverse.data.sampling import DerivedSampler, Drawn, MultiViewSampler
from ganverse.errors import GanverseError
from ganverse.io import quantize, write_atomically
from ganverse.masks.filtering import FilterCounts, filter_masks
from ganverse.masks.masker import Masks, separate_instances
from ganverse.masks.painted import mask_of, read_mask, write_picture

RECORD = "samples.json"
_AT_ONCE = 8


class WholePicture:
    """A `Masker` for pictures that wait for their masks: everything is object, so the filter drops none."""

    name = "painted"

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Masks:
        """Ones."""
        return Masks(torch.ones_like(images[:, :1]), torch.ones(len(images), dtype=torch.long, device=images.device))


@dataclass(frozen=True)
class PaintedSamples:
    """A folder whose masks are all there.

    samples, views: how many pictures. side: of the pictures in pixels. kept: samples whose masks pass the filter.
    sha256: of all mask files.
    """

    folder: Path
    samples: int
    views: int
    side: int
    kept: tuple[int, ...]
    sha256: str

    def masks(self, samples: Sequence[int]) -> Masks:
        """Masks of all views of these samples, one row a picture; errors as in `read_mask`."""
        pictures = [path for sample in samples for path in sample_pictures(self.folder, sample, self.views)]
        found = separate_instances(torch.stack([read_mask(path, self.side) for path in pictures]))
        return Masks(quantize(found.foreground), found.instances)


def sample_pictures(folder: Path, sample: int, views: int) -> list[Path]:
    """Where the pictures of a sample lie."""
    return [folder / f"{sample:06d}-{view}.png" for view in range(views)]


def pictures_name(sampler: MultiViewSampler, samples: int) -> str:
    """A short fingerprint of what the first `samples` samples show: generator, objects, the codes of all views."""
    codes, settings = sampler.codes, sampler.settings
    seeds = [[codes.codes[view].seed for view in sampler.view_ids(sample)] for sample in range(samples)]
    which = [codes.generator, codes.view_dims, codes.anchor, codes.directions, settings.seed, settings.objects, seeds]
    return hashlib.sha256(json.dumps(which).encode()).hexdigest()[:16]


def write_samples(sampler: MultiViewSampler, folder: Path, samples: int) -> None:
    """Writes the pictures of samples 0, 1, ..., and `samples.json` last."""
    if samples < 1:
        raise GanverseError(f"expected at least one sample, got {samples}")
    for start in range(0, samples, _AT_ONCE):
        numbers = torch.arange(start, min(start + _AT_ONCE, samples))
        for sample, images in zip(numbers.tolist(), sampler.draw(numbers).batch.images, strict=True):
            for image, path in zip(images, sample_pictures(folder, sample, len(images)), strict=True):
                write_picture(image, path)
    record = {"samples": samples, "views": sampler.settings.views, "pictures": pictures_name(sampler, samples)}
    write_atomically(folder / RECORD, (json.dumps(record) + "\n").encode())


def open_painted_samples(folder: Path, sampler: MultiViewSampler) -> PaintedSamples:
    """Reads every mask once.

    Raises:
        GanverseError: the folder holds no pictures or those of another sampler, or a mask is missing or unfit; or the
            filter leaves none.
    """
    samples, views = _recorded(folder, sampler)
    pictures = [path for sample in range(samples) for path in sample_pictures(folder, sample, views)]
    missing = [mask_of(path).name for path in pictures if not mask_of(path).is_file()]
    if missing:
        raise GanverseError(
            f"expected a mask beside every picture in {folder}, but {missing[0]} is missing"
            f"{f' with {len(missing) - 1} more' if missing[1:] else ''}; paint it, all black to leave its sample out"
        )
    sha256 = hashlib.sha256(b"".join(hashlib.sha256(mask_of(path).read_bytes()).digest() for path in pictures))
    everything = PaintedSamples(
        folder, samples, views, sampler.generator.resolution, tuple(range(samples)), sha256.hexdigest()
    )
    outcomes = [filter_masks(everything.masks([sample]), sampler.settings.filter) for sample in range(samples)]
    kept = tuple(sample for sample, outcome in enumerate(outcomes) if bool(outcome.keep.all()))
    if not kept:
        counts = sum((outcome.counts for outcome in outcomes), FilterCounts())
        raise GanverseError(
            f"expected masks in {folder} that pass the filter in every view of a sample, got none ({counts}); look at "
            "the masks, or change data.sampling.filter"
        )
    return PaintedSamples(folder, samples, views, everything.side, kept, everything.sha256)


def _recorded(folder: Path, sampler: MultiViewSampler) -> tuple[int, int]:
    """Numbers of samples and views of a folder with the pictures of this sampler."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        samples, views, pictures = int(record["samples"]), int(record["views"]), str(record["pictures"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GanverseError(
            f"expected pictures to paint masks for and {path}, got {type(error).__name__}; write them with `python "
            f"train.py generate --data.mask_folder {folder}`"
        ) from error
    if views != sampler.settings.views or pictures != pictures_name(sampler, samples):
        raise GanverseError(
            f"expected {folder} to hold the pictures of this generator, its view codes, data.sampling.seed and views, "
            "got others; give the settings they were written with, or another folder"
        )
    return samples, views


class PaintedSampler(DerivedSampler):
    """A `Sampler`: pictures of another one, masks of a folder; sample i is the i-th whose masks pass, round and round.

    Those that are skipped on the way to a sample are counted, and shown as dropped, with it. Validation samples are
    taken from the end, which shards keep for validation too.

    pictures: draws the pictures, with a single attempt and `WholePicture` for masks.
    """

    def __init__(self, pictures: MultiViewSampler, painted: PaintedSamples) -> None:
        super().__init__(pictures, painted.sha256)
        self.painted = painted

    @torch.no_grad()
    def draw(self, indices: Int[Tensor, " batch"], *, keep_dropped: int = 0) -> Drawn:
        """The samples of these indices, in their order; none is ever forced."""
        looked_at = [self._looked_at(int(index)) for index in indices]
        ends = torch.tensor([len(numbers) for numbers in looked_at]).cumsum(0) - 1
        numbers = [number for some in looked_at for number in some]
        drawn = self.original.draw(torch.tensor(numbers)).batch
        device, views = drawn.images.device, self.painted.views
        found = self.painted.masks(numbers)
        outcome = filter_masks(found, self.settings.filter)
        masks = found.foreground.to(device)
        rejected = (~outcome.keep).nonzero()[:keep_dropped, 0].to(device)
        rows = ends.to(device)
        batch = MultiViewBatch(
            drawn.images[rows],
            masks.unflatten(0, (len(numbers), views))[rows],
            drawn.view_ids[rows],
            indices.to(device),
            drawn.styles[rows],
        )
        forced = torch.zeros(len(indices), dtype=torch.bool, device=device)
        return Drawn(batch, outcome.counts, forced, drawn.images.flatten(0, 1)[rejected], masks[rejected])

    def _looked_at(self, index: int) -> list[int]:
        """The sample of an index, and before it those that were skipped since the one before."""
        kept, samples = self.painted.kept, self.painted.samples
        place = (index if index < VALIDATION_START else VALIDATION_START - index - 1) % len(kept)
        start = kept[place - 1] + 1
        return [(start + k) % samples for k in range((kept[place] - start) % samples + 1)]
