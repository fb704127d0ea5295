"""Multi-view sampling: sample i (object, views, noise, replacements) is a pure function of (seed, i).

All randomness comes from counter-based Philox streams on the CPU, keyed by (seed, i). Samples therefore do not depend
on order, number of processes or restarts. A rejected object is replaced by the next attempt of the SAME index with the
same views, so that every view code is seen equally often.

Images are generated in blocks of exactly `block` images, the last one padded. Kernels round differently for different
batch sizes (about 1e-7), so a fixed size makes a sample's bits independent of its batch, for one machine, thread count
and torch build. Pixels are quantized to 8 bits, as in shards.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ganverse.batch import MultiViewBatch
from ganverse.devices import device_of, upload
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.generators.framing import LetterboxGenerator
from ganverse.generators.protocol import ImageGenerator
from ganverse.io import quantize
from ganverse.masks.filtering import FilterCounts, FilterOutcome, MaskFilter, filter_masks
from ganverse.masks.masker import Masker, Masks, separate_instances
from ganverse.viewpoints.view_codes import ViewCodes, mix_styles, view_styles
from ganverse.worlds.generator import CarWorldGenerator

_OBJECT, _VIEWS, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class SamplingSettings:
    """Definition of a sample."""

    seed: int = 0
    """Seed of the stream."""
    views: int = 2
    """Distinct views per object (paper: 2)."""
    attempts: int = 4
    """Attempts per index. If the filter rejects all, the best one is kept."""
    block: int = 16
    """Images synthesized at once. Affects only the last bits of a sample."""
    filter: MaskFilter = field(default_factory=MaskFilter)
    """When to reject an image."""

    def __post_init__(self) -> None:
        check_ranges(self, views=AT_LEAST_1, attempts=AT_LEAST_1, block=AT_LEAST_1)


@dataclass(frozen=True)
class Pictures:
    """Generated images (8-bit levels in [0, 1]) with masks, styles and filter results; one row per image."""

    images: Float[Tensor, "rows 3 height width"]
    masks: Float[Tensor, "rows 1 height width"]
    styles: Float[Tensor, "rows styles"]
    outcome: FilterOutcome


@dataclass(frozen=True)
class Drawn:
    """A batch with statistics.

    counts: all images, rejected attempts included. forced: samples kept although every attempt was rejected.
    """

    batch: MultiViewBatch
    counts: FilterCounts
    forced: Bool[Tensor, " batch"]


def random_numbers(seed: int, index: int, purpose: int, attempt: int = 0) -> np.random.Generator:
    """The random stream of one sample, purpose and attempt (the high words of Philox's counter)."""
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, attempt, purpose]))


class MultiViewSampler:
    """Draws samples of a frozen copy of `generator` at the view codes `codes`.

    masker: source of the masks; None uses the car world's exact ones. GanverseError if the parts do not fit together.
    """

    def __init__(
        self,
        generator: ImageGenerator,
        codes: ViewCodes,
        masker: Masker | None = None,
        settings: SamplingSettings | None = None,
    ) -> None:
        self.settings = settings or SamplingSettings()
        self.codes = codes
        self.generator = frozen_copy(generator)
        self.masker = masker
        if masker is None and not isinstance(generator, CarWorldGenerator):
            raise GanverseError(f"expected a masker, since {type(generator).__name__} has no exact masks")
        if self.settings.views > len(codes):
            raise GanverseError(
                f"expected at least {self.settings.views} view codes, got {len(codes)}; add view codes or "
                "reduce sampling.views"
            )
        self._views = view_styles(self.generator, codes, device=device_of(self.generator))

    @property
    def fingerprint(self) -> str:
        """Short hash of everything a sample depends on (the generator by its name in the view codes)."""
        masks = "truth" if self.masker is None else self.masker.name
        parts: dict[str, object] = {"settings": asdict(self.settings), "codes": self.codes.sha256, "masks": masks}
        modules = self.generator.modules() if isinstance(self.generator, nn.Module) else ()
        if any(isinstance(part, LetterboxGenerator) for part in modules):
            parts["framed"] = self.generator.resolution
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def to(self, device: torch.device | str) -> MultiViewSampler:
        """Moves generator and masker; samples are then generated there."""
        parts: tuple[object, ...] = (self.generator, self.masker)
        for part in parts:
            if isinstance(part, nn.Module):
                part.to(device)
        self._views = self._views.to(device)
        return self

    def view_ids(self, index: int) -> list[int]:
        """Distinct random views of sample `index`."""
        random = random_numbers(self.settings.seed, index, _VIEWS)
        first = int(random.integers(len(self.codes)))
        rest = [view for view in range(len(self.codes)) if view != first]
        others = random.choice(rest, self.settings.views - 1, replace=False)
        return [first, *others.tolist()]

    @torch.no_grad()
    def draw(self, indices: Int[Tensor, " batch"]) -> Drawn:
        """The samples of these indices in order."""
        samples, views = indices.tolist(), self.settings.views
        view_ids = upload(torch.tensor([self.view_ids(i) for i in samples]), self._views.device)
        best = self._make(samples, view_ids, 0)
        score, tries = _score(best.outcome, views), [best]
        for attempt in range(1, self.settings.attempts):
            rejected = [row for row, again in enumerate((score < views).tolist()) if again]
            if not rejected:
                break
            rows = upload(torch.tensor(rejected), view_ids.device)
            tries.append(self._make([samples[row] for row in rejected], view_ids[rows], attempt))
            fresh = _score(tries[-1].outcome, views)
            better = fresh > score[rows]
            best = _replace(best, tries[-1], rows, better, views)
            score[rows] = torch.maximum(fresh, score[rows])
        batch = _grouped(best, view_ids, indices.cpu())
        counts = sum((made.outcome.counts for made in tries), FilterCounts())
        return Drawn(batch, counts, score < views)

    def _make(self, samples: list[int], view_ids: Int[Tensor, "batch views"], attempt: int) -> Pictures:
        """One attempt at every sample, all views, in padded blocks."""
        parts = [self._block(block, attempt) for block in self._blocks(samples, view_ids)]
        rows = len(samples) * self.settings.views
        images, masks, styles, instances = (torch.cat(part)[:rows] for part in zip(*parts, strict=True))
        return Pictures(images, masks, styles, filter_masks(Masks(masks, instances), self.settings.filter))

    def _blocks(self, samples: list[int], view_ids: Tensor) -> Iterator[tuple[list[int], Tensor]]:
        rows = [sample for sample in samples for _ in range(self.settings.views)]
        ids, size = view_ids.flatten(), self.settings.block
        for start in range(0, len(rows), size):
            block, block_ids = rows[start : start + size], ids[start : start + size]
            padding = size - len(block)
            yield block + [block[0]] * padding, torch.cat([block_ids, block_ids[:1].expand(padding)])

    def _block(self, block: tuple[list[int], Tensor], attempt: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        samples, view_ids = block
        z = self._normals(samples, attempt, _OBJECT, self.generator.z_dim)
        content = self.generator.styles(self.generator.map(z))
        styles = mix_styles(content, self._views[view_ids], self.codes.view_dims)
        if self.masker is None and isinstance(self.generator, CarWorldGenerator):
            images, coverage, _ = self.generator.render_truth(styles)
            images, masks = quantize(images), separate_instances(coverage)
        else:
            assert self.masker is not None
            images = quantize(self.generator.synthesize(styles, self._noise(samples, attempt)))
            masks = self.masker(images)
        # Row-major like shards: sums over another memory layout round differently.
        return images.contiguous(), quantize(masks.foreground).contiguous(), styles, masks.instances

    def _noise(self, samples: list[int], attempt: int) -> list[Tensor] | None:
        shapes = [tuple(shape) for shape in self.generator.noise_shapes]
        if not shapes:
            return None
        sizes = [height * width for height, width in shapes]
        flat = self._normals(samples, attempt, _NOISE, sum(sizes))
        return [part.view(-1, 1, *shape) for part, shape in zip(flat.split(sizes, dim=1), shapes, strict=True)]

    def _normals(self, samples: list[int], attempt: int, purpose: int, count: int) -> Float[Tensor, "rows count"]:
        unique = {
            one: random_numbers(self.settings.seed, one, purpose, attempt).standard_normal(count, dtype=np.float32)
            for one in set(samples)
        }
        return upload(torch.from_numpy(np.stack([unique[one] for one in samples])), self._views.device)


def frozen_copy(generator: ImageGenerator) -> ImageGenerator:
    """A copy in eval mode without gradients, so that training the original never changes the data."""
    copied = copy.deepcopy(generator)
    if isinstance(copied, nn.Module):
        copied.eval().requires_grad_(False)
    return copied


def _score(outcome: FilterOutcome, views: int) -> Float[Tensor, " batch"]:
    """Number of passing views, ties broken by the smallest mask; selects the best of several rejected attempts."""
    passed = outcome.keep.view(-1, views).sum(dim=1)
    return passed + outcome.area.view(-1, views).amin(dim=1).clamp(max=0.999) * (passed < views)


def _replace(best: Pictures, made: Pictures, rows: Tensor, better: Tensor, views: int) -> Pictures:
    """`best`, with improved samples among `rows` replaced by those of `made`."""
    to = (rows[:, None] * views + torch.arange(views, device=rows.device)).flatten()
    chosen = better.repeat_interleave(views)

    def exchanged(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, to, torch.where(chosen.view(-1, *[1] * (old.dim() - 1)), new, old[to]))

    pairs = ((best.images, made.images), (best.masks, made.masks), (best.styles, made.styles))
    images, masks, styles = (exchanged(old, new) for old, new in pairs)
    return Pictures(images, masks, styles, best.outcome)


def _grouped(pictures: Pictures, view_ids: Tensor, indices: Tensor) -> MultiViewBatch:
    shape = view_ids.shape
    fields = (pictures.images, pictures.masks, pictures.styles)
    images, masks, styles = (part.view(*shape, *part.shape[1:]) for part in fields)
    return MultiViewBatch(images, masks, view_ids, indices, styles)
