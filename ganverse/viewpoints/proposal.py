"""Propose view codes without a human: seeds whose objects agree on the viewpoint, all round.

The paper picks its codes by hand (section 2: azimuth all round, "preferring codes whose objects look most consistent");
this does the same with a reader (such as a pose regressor) in place of the eye. A human can correct the resulting file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.geometry.cameras import angular_difference
from ganverse.random_streams import latents
from ganverse.viewpoints.anchoring import Anchor, content_styles, draws_per_object, view_anchor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, mix_styles, view_latents


@dataclass(frozen=True)
class ViewReading:
    """What pictures show: azimuths in radians, and the object's aspects (such as height, type, paint), in any units."""

    azimuth: Float[Tensor, " batch"]
    aspects: tuple[Float[Tensor, "batch _"], ...] = ()


Reader = Callable[[Float[Tensor, "batch 3 height width"]], ViewReading]
"""Reads pictures with values in [0, 1]."""


@dataclass(frozen=True)
class ProposalSettings:
    """How view codes are looked for.

    candidates: seeds 0 .. candidates-1 are tried. contents: objects rendered per candidate. finalists: the best of
    every azimuth bin are looked at again with final_contents objects: a code that turns a few objects alike may turn
    others elsewhere. content_seed: the stream their latent codes come from. count: codes wanted. bin_degrees: width of
    an azimuth bin (the paper's 30).
    max_spread_degrees: a code whose objects disagree more than this (circular standard deviation) is never taken.
    identity_degrees: how many degrees of spread weigh as much as changing the objects beyond recognition.
    anchor_degrees: the azimuth at which objects shall be at home (see `anchoring`), or None for any object.
    batch: images synthesized at once.
    """

    candidates: int = 1500
    contents: int = 6
    finalists: int = 12
    final_contents: int = 48
    content_seed: int = 1
    count: int = 24
    bin_degrees: float = 30.0
    max_spread_degrees: float = 60.0
    identity_degrees: float = 60.0
    anchor_degrees: float | None = None
    batch: int = 32


@dataclass(frozen=True)
class Candidates:
    """What candidate codes show: circular mean azimuth in [0, 2 pi) and spread, both radians, and how much a code

    changes the objects (see `object_changes`).
    """

    seeds: tuple[int, ...]
    azimuth: Float[Tensor, " candidates"]
    spread: Float[Tensor, " candidates"]
    change: Float[Tensor, " candidates"]


def circular_mean_and_spread(
    azimuth: Float[Tensor, "*batch samples"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Circular mean in [0, 2 pi) and circular standard deviation sqrt(-2 ln R) over the last dimension, radians."""
    cosine, sine = azimuth.cos().mean(dim=-1), azimuth.sin().mean(dim=-1)
    length = torch.hypot(cosine, sine).clamp(1e-6, 1.0)
    return torch.atan2(sine, cosine).remainder(2 * math.pi), (-2 * length.log()).clamp_min(0).sqrt()


@torch.no_grad()
def measure_candidates(
    generator: ImageGenerator,
    view_dims: Sequence[int],
    read: Reader,
    settings: ProposalSettings,
    *,
    seeds: Sequence[int],
    objects: int,
    anchor: Anchor | None = None,
    device: torch.device | str = "cpu",
) -> Candidates:
    """Give every candidate's view to the same few objects and read each picture."""
    draws = draws_per_object(anchor)
    z = latents(settings.content_seed, range(objects * draws), generator.z_dim).to(device)
    contents = content_styles(generator, z.view(objects, draws, -1), view_dims, anchor)
    own = generator.styles(generator.map(view_latents(seeds, generator.z_dim).to(device)))
    views = own[:, list(view_dims)].repeat_interleave(len(contents), dim=0)
    rows = zip(contents.repeat(len(seeds), 1).split(settings.batch), views.split(settings.batch), strict=True)
    readings = [read(generator.synthesize(mix_styles(content, view, view_dims))) for content, view in rows]
    shape = (len(seeds), objects)
    mean, spread = circular_mean_and_spread(torch.cat([r.azimuth for r in readings]).view(shape))
    aspects = zip(*(r.aspects for r in readings), strict=True)
    change = object_changes([torch.cat(parts).view(*shape, -1) for parts in aspects], views=len(seeds))
    return Candidates(tuple(seeds), mean, spread, change.to(spread))


def object_changes(aspects: Sequence[Float[Tensor, "views objects _"]], *, views: int) -> Float[Tensor, " views"]:
    """Per view, how far the objects are from their own mean over all views, as a share of all variance.

    0: every object looks like itself; about 1: nothing is left of it. Every aspect counts alike, however many numbers
    describe it: counted by number, six body types outweigh the paint, and codes that paint every car gray win.
    """
    changes = torch.zeros(views)
    for values in aspects:
        away = (values - values.mean(dim=0)).square().mean(dim=1).sum(dim=1)
        changes = changes.to(away) + away / values.var(dim=(0, 1), correction=0).sum().clamp_min(1e-12)
    return changes / max(len(aspects), 1)


def shortlist(candidates: Candidates, settings: ProposalSettings) -> tuple[int, ...]:
    """Seeds of the `finalists` most consistent codes of every azimuth bin, ascending."""
    bins = round(360 / settings.bin_degrees)
    index = (candidates.azimuth.rad2deg() / settings.bin_degrees).round().long().remainder(bins)
    order = score(candidates, settings).argsort(stable=True)
    best = [order[index[order] == which][: settings.finalists] for which in range(bins)]
    return tuple(sorted(candidates.seeds[i] for i in torch.cat(best).tolist()))


def choose_codes(candidates: Candidates, settings: ProposalSettings) -> tuple[ViewCode, ...]:
    """The most consistent codes of every azimuth bin, then the most consistent ones overall until `count` is reached.

    Consistent: little spread, little change of the objects (the paper's "objects look most consistent").
    Annotated with the center of their bin, as coarse as the paper's annotation; ordered by azimuth, then seed. Raises
    GanverseError if a bin stays empty or there are too few.
    """
    bins = round(360 / settings.bin_degrees)
    index = (candidates.azimuth.rad2deg() / settings.bin_degrees).round().long().remainder(bins).tolist()
    spread = candidates.spread.rad2deg().tolist()
    bad = score(candidates, settings).tolist()
    ranked = sorted(range(len(spread)), key=lambda i: (bad[i], candidates.seeds[i]))
    ranked = [i for i in ranked if spread[i] <= settings.max_spread_degrees]
    missing = [f"{b * settings.bin_degrees:g}" for b in range(bins) if b not in {index[i] for i in ranked}]
    if missing or len(ranked) < settings.count:
        raise GanverseError(
            f"expected {settings.count} consistent view codes all round, found {len(ranked)} among "
            f"{len(spread)} candidates and none at {', '.join(missing) or 'no azimuth in particular'} degrees; "
            "try more candidates, allow a larger spread or annotate by hand"
        )
    place_in_bin = {i: sum(index[j] == index[i] for j in ranked[:place]) for place, i in enumerate(ranked)}
    per_bin = settings.count // bins
    chosen = sorted(ranked, key=lambda i: (place_in_bin[i] >= per_bin, ranked.index(i)))[: settings.count]
    codes = [ViewCode(candidates.seeds[i], index[i] * settings.bin_degrees) for i in chosen]
    return tuple(sorted(codes, key=lambda code: (code.azimuth_degrees, code.seed)))


def propose_view_codes(
    generator: ImageGenerator,
    name: str,
    view_dims: Sequence[int],
    read: Reader,
    settings: ProposalSettings | None = None,
    *,
    device: torch.device | str = "cpu",
) -> ViewCodes:
    """View codes of `generator` (on `device`, `name` in the file), deterministic; `choose_codes` says which."""
    settings = settings or ProposalSettings()
    seed, anchor = None, None
    if settings.anchor_degrees is not None:
        seed = choose_anchor(generator, view_dims, read, settings, device=device)
        anchor = view_anchor(generator, view_dims, seed, device=device)
    measure = partial(measure_candidates, generator, view_dims, read, settings, anchor=anchor, device=device)
    candidates = measure(seeds=range(settings.candidates), objects=settings.contents)
    finalists = measure(seeds=shortlist(candidates, settings), objects=settings.final_contents)
    return ViewCodes(name, tuple(view_dims), choose_codes(finalists, settings), seed)


@torch.no_grad()
def choose_anchor(
    generator: ImageGenerator,
    view_dims: Sequence[int],
    read: Reader,
    settings: ProposalSettings,
    *,
    device: torch.device | str = "cpu",
) -> int:
    """The seed with the most typical view among those whose own picture is within half a bin of `anchor_degrees`.

    Typical: nearest to their mean. If none is within half a bin, the nearest one in azimuth.
    """
    z = view_latents(range(settings.candidates), generator.z_dim).to(device)
    styles = generator.styles(generator.map(z))
    azimuth = torch.cat([read(generator.synthesize(part)).azimuth for part in styles.split(settings.batch)])
    wanted = torch.full_like(azimuth, math.radians(settings.anchor_degrees or 0.0))
    away = angular_difference(azimuth, wanted).abs().rad2deg()
    near = (away <= max(settings.bin_degrees / 2, away.amin().item())).nonzero()[:, 0]
    views = styles[near][:, list(view_dims)]
    atypical = ((views - views.mean(dim=0)) / styles[:, list(view_dims)].std(dim=0).clamp_min(1e-6)).square().sum(dim=1)
    return int(near[atypical.argmin()])


def score(candidates: Candidates, settings: ProposalSettings) -> Float[Tensor, " candidates"]:
    """Degrees of spread plus the change of the objects, in degrees by `identity_degrees`."""
    return candidates.spread.rad2deg() + settings.identity_degrees * candidates.change
