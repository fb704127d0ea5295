"""Propose view codes without a human: seeds whose objects agree on the viewpoint, all round.

The paper picks its codes by hand (section 2: azimuth all round, "preferring codes whose objects look most consistent");
this does the same with a pose estimate in place of the eye. The result is a file a human can correct.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.latents import latents
from ganverse.generators.protocol import ImageGenerator
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, compose, view_latents

PoseEstimate = Callable[[Float[Tensor, "batch 3 height width"]], Float[Tensor, " batch"]]
"""Images in [0, 1] to azimuths in radians."""


@dataclass(frozen=True)
class ProposalSettings:
    """How view codes are looked for.

    candidates: seeds 0 .. candidates-1 are tried. contents: objects rendered per candidate. content_seed: the stream
    their latent codes come from. count: codes wanted. bin_degrees: width of an azimuth bin (the paper's 30).
    max_spread_degrees: a code whose objects disagree more than this (circular standard deviation) is never taken.
    batch: images synthesised at once.
    """

    candidates: int = 256
    contents: int = 8
    content_seed: int = 1
    count: int = 24
    bin_degrees: float = 30.0
    max_spread_degrees: float = 60.0
    batch: int = 32


@dataclass(frozen=True)
class Candidates:
    """Measured viewpoints of candidate codes: circular mean azimuth in [0, 2 pi) and spread, both radians."""

    seeds: tuple[int, ...]
    azimuth: Float[Tensor, " candidates"]
    spread: Float[Tensor, " candidates"]


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
    pose: PoseEstimate,
    settings: ProposalSettings,
    *,
    device: torch.device | str = "cpu",
) -> Candidates:
    """Give every candidate's view to the same few objects and estimate the azimuth of each picture."""
    seeds = tuple(range(settings.candidates))
    contents = latents(settings.content_seed, range(settings.contents), generator.z_dim)
    latent = torch.cat([view_latents(seeds, generator.z_dim), contents]).to(device)
    styles = generator.styles(generator.map(latent))
    views = styles[: len(seeds), list(view_dims)].repeat_interleave(len(contents), dim=0)
    objects = styles[len(seeds) :].repeat(len(seeds), 1)
    rows = zip(objects.split(settings.batch), views.split(settings.batch), strict=True)
    azimuths = [pose(generator.synthesize(compose(content, view, view_dims))) for content, view in rows]
    mean, spread = circular_mean_and_spread(torch.cat(azimuths).view(len(seeds), len(contents)))
    return Candidates(seeds, mean, spread)


def choose_codes(candidates: Candidates, settings: ProposalSettings) -> tuple[ViewCode, ...]:
    """The most consistent codes of every azimuth bin, then the most consistent ones overall until `count` is reached.

    Annotated with the centre of their bin, as coarse as the paper's annotation; ordered by azimuth, then seed. Raises
    GanverseError if a bin stays empty or there are too few.
    """
    bins = round(360 / settings.bin_degrees)
    index = (candidates.azimuth.rad2deg() / settings.bin_degrees).round().long().remainder(bins).tolist()
    spread = candidates.spread.rad2deg().tolist()
    ranked = sorted(range(len(spread)), key=lambda i: (spread[i], candidates.seeds[i]))
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
    pose: PoseEstimate,
    settings: ProposalSettings | None = None,
    *,
    device: torch.device | str = "cpu",
) -> ViewCodes:
    """View codes of `generator` (on `device`, `name` in the file), deterministic; `choose_codes` says which."""
    settings = settings or ProposalSettings()
    candidates = measure_candidates(generator, view_dims, pose, settings, device=device)
    return ViewCodes(name, tuple(view_dims), choose_codes(candidates, settings))
