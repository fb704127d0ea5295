"""Proposes view codes: seeds that turn all objects the same way, from all sides.

The paper's annotator picks codes "whose objects look most consistent" (section 2). Here a pose network measures it:
objects under one code should have the same azimuth and keep their identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import FROM_1, POSITIVE, GanverseError, check_ranges
from ganverse.generators.protocol import ImageGenerator
from ganverse.random_streams import latents
from ganverse.viewpoints.pose_regressor import PoseReading
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, mix_styles, view_latents

_CONTENT_SEED = 1
"""Random stream of the objects on which codes are tried."""


def synthesize_views(
    generator: ImageGenerator, view_dims: Sequence[int], seeds: Sequence[int], objects: int, batch: int
) -> Iterator[Float[Tensor, "batch 3 height width"]]:
    """The same objects under the view code of every seed, in seed order, in batches on the generator's device."""
    device = device_of(generator)
    with torch.no_grad():
        contents = generator.styles(generator.map(latents(_CONTENT_SEED, range(objects), generator.z_dim).to(device)))
        own = generator.styles(generator.map(view_latents(seeds, generator.z_dim).to(device)))
    views = own[:, list(view_dims)].repeat_interleave(objects, dim=0)
    for content, view in zip(contents.repeat(len(seeds), 1).split(batch), views.split(batch), strict=True):
        with torch.no_grad():
            images = generator.synthesize(mix_styles(content, view, view_dims))
        yield images


Reader = Callable[[Float[Tensor, "batch 3 height width"]], PoseReading]
"""A `PoseRegressor`, or a function with the same predictions."""


@dataclass(frozen=True)
class ProposalSettings:
    """How the pose regressor proposes view codes."""

    candidates: int = 1500
    """Seeds 0 .. candidates - 1 are tried."""
    contents: int = 6
    """Objects per candidate."""
    finalists: int = 12
    """Number of best candidates per azimuth bin that are tried again on more objects."""
    final_contents: int = 48
    """Objects per finalist: a code that turns a few objects consistently may fail on others."""
    count: int = 24
    """Number of view codes."""
    bin_degrees: float = 30.0
    """Width of an azimuth bin in degrees (the paper's 30)."""
    max_spread_degrees: float = 60.0
    """Largest disagreement of a code's objects (circular standard deviation in degrees)."""
    identity_degrees: float = 60.0
    """Spread in degrees that weighs as much as changing the objects beyond recognition."""
    batch: int = 32
    """Images synthesized at once."""

    def __post_init__(self) -> None:
        numbers = ("candidates", "contents", "finalists", "final_contents", "batch")
        check_ranges(self, bin_degrees=POSITIVE, **dict.fromkeys(numbers, FROM_1))
        if 360 % self.bin_degrees:
            raise GanverseError(f"expected bins that divide 360 degrees, got {self.bin_degrees:g}")
        if self.count * self.bin_degrees < 360:
            raise GanverseError(
                f"expected at least one view code for every {self.bin_degrees:g} degrees, got {self.count}"
            )


@dataclass(frozen=True)
class Candidates:
    """Measurements of candidate codes.

    azimuth: circular mean in [0, 2 pi). spread: circular standard deviation in radians. change: how much a code changes
    the objects (see `object_changes`).
    """

    seeds: tuple[int, ...]
    azimuth: Float[Tensor, " candidates"]
    spread: Float[Tensor, " candidates"]
    change: Float[Tensor, " candidates"]

    def bins(self, bin_degrees: float) -> Int[Tensor, " candidates"]:
        """Azimuth bin of every candidate; bin 0 is centered on azimuth 0."""
        return (self.azimuth.rad2deg() / bin_degrees).round().long().remainder(round(360 / bin_degrees))

    def score(self, identity_degrees: float) -> Float[Tensor, " candidates"]:
        """Spread plus change of the objects, in degrees; lower is more consistent."""
        return self.spread.rad2deg() + identity_degrees * self.change


def propose_view_codes(
    generator: ImageGenerator,
    name: str,
    view_dims: Sequence[int],
    read: Reader,
    settings: ProposalSettings | None = None,
) -> ViewCodes:
    """View codes of `generator` (`name` in the file), selected by `choose_codes`; deterministic.

    Raises:
        GanverseError: not enough consistent codes.
    """
    settings = settings or ProposalSettings()
    measure = partial(measure_candidates, generator, view_dims, read, batch=settings.batch)
    candidates = measure(seeds=range(settings.candidates), objects=settings.contents)
    finalists = measure(seeds=shortlist(candidates, settings), objects=settings.final_contents)
    return ViewCodes(name, tuple(view_dims), choose_codes(finalists, settings))


@torch.no_grad()
def measure_candidates(
    generator: ImageGenerator, view_dims: Sequence[int], read: Reader, *, seeds: Sequence[int], objects: int, batch: int
) -> Candidates:
    """Applies every candidate's view to the same objects, and predicts the pose of each image."""
    readings = [read(images) for images in synthesize_views(generator, view_dims, seeds, objects, batch)]
    shape = (len(seeds), objects)
    mean, spread = circular_mean_and_spread(torch.cat([r.azimuth for r in readings]).view(shape))
    aspects = zip(*(r.aspects for r in readings), strict=True)
    change = object_changes([torch.cat(parts).view(*shape, -1) for parts in aspects], views=len(seeds))
    return Candidates(tuple(seeds), mean.cpu(), spread.cpu(), change.to(spread).cpu())


def circular_mean_and_spread(
    azimuth: Float[Tensor, "*batch samples"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Circular mean in [0, 2 pi) and circular standard deviation sqrt(-2 ln R) over the last dimension, radians."""
    cosine, sine = azimuth.cos().mean(dim=-1), azimuth.sin().mean(dim=-1)
    length = torch.hypot(cosine, sine).clamp(1e-6, 1.0)
    return torch.atan2(sine, cosine).remainder(2 * math.pi), (-2 * length.log()).clamp_min(0).sqrt()


def object_changes(aspects: Sequence[Float[Tensor, "views objects _"]], *, views: int) -> Float[Tensor, " views"]:
    """For each view the objects' deviation from their own mean over all views, as a share of the total variance.

    0: every object keeps its identity; about 1: nothing is left of it. All aspects have equal weight, however many
    numbers describe them. Otherwise six body types outweigh the color, and codes that make every car gray win.
    """
    changes = torch.zeros(views)
    for values in aspects:
        away = (values - values.mean(dim=0)).square().mean(dim=1).sum(dim=1)
        changes = changes.to(away) + away / values.var(dim=(0, 1), correction=0).sum().clamp_min(1e-12)
    return changes / max(len(aspects), 1)


def shortlist(candidates: Candidates, settings: ProposalSettings) -> tuple[int, ...]:
    """Seeds of the `finalists` most consistent codes of every azimuth bin, ascending."""
    index = candidates.bins(settings.bin_degrees)
    order = candidates.score(settings.identity_degrees).argsort(stable=True)
    best = [order[index[order] == which][: settings.finalists] for which in range(round(360 / settings.bin_degrees))]
    return tuple(sorted(candidates.seeds[i] for i in torch.cat(best).tolist()))


def choose_codes(candidates: Candidates, settings: ProposalSettings) -> tuple[ViewCode, ...]:
    """The most consistent codes of every azimuth bin, then the most consistent ones overall, up to `count`.

    Consistent means little spread and little change of the objects. Codes are annotated with the center of their bin,
    as coarse as the paper's annotation, and ordered by azimuth, then seed.

    Raises:
        GanverseError: a bin stays empty or there are too few.
    """
    bins = round(360 / settings.bin_degrees)
    index = candidates.bins(settings.bin_degrees).tolist()
    spread = candidates.spread.rad2deg().tolist()
    score = candidates.score(settings.identity_degrees).tolist()
    ranked = sorted(range(len(spread)), key=lambda i: (score[i], candidates.seeds[i]))
    ranked = [i for i in ranked if spread[i] <= settings.max_spread_degrees]
    missing = [f"{b * settings.bin_degrees:g}" for b in range(bins) if b not in {index[i] for i in ranked}]
    if missing or len(ranked) < settings.count:
        raise GanverseError(
            f"expected {settings.count} consistent view codes all around, found {len(ranked)} among "
            f"{len(spread)} candidates and none at {', '.join(missing) or 'no azimuth in particular'} degrees; "
            "try more candidates, allow a larger spread or annotate by hand"
        )
    place = places_in_bins(ranked, index)
    per_bin = settings.count // bins
    chosen = sorted(ranked, key=lambda i: (place[i] >= per_bin, ranked.index(i)))[: settings.count]
    codes = [ViewCode(candidates.seeds[i], index[i] * settings.bin_degrees) for i in chosen]
    return tuple(sorted(codes, key=lambda code: (code.azimuth_degrees, code.seed)))


def places_in_bins(ranked: Sequence[int], bins: Sequence[int]) -> dict[int, int]:
    """For each row the number of better ones in its bin. ranked: rows, best first. bins: by row."""
    return {i: sum(bins[j] == bins[i] for j in ranked[:place]) for place, i in enumerate(ranked)}


def images_of_views(
    generator: ImageGenerator, view_dims: Sequence[int], seeds: Sequence[int], objects: int = 3, *, batch: int = 16
) -> Float[Tensor, "seeds objects 3 height width"]:
    """The same few objects under the view code of every seed, in [0, 1], on the CPU; `batch` images at once."""
    images = torch.cat([part.cpu() for part in synthesize_views(generator, view_dims, seeds, objects, batch)])
    return images.float().clamp(0, 1).unflatten(0, (len(seeds), objects))
