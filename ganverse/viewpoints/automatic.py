"""View codes of any category without annotation: `ganverse views --azimuths auto`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator, style_slices
from ganverse.masks.masker import Masker, soft_iou
from ganverse.random_streams import latents
from ganverse.viewpoints.azimuths import AzimuthEstimate, estimate_azimuths
from ganverse.viewpoints.proposal import CandidateSettings, images_of_views, places_in_bins, rank_candidates
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

_SIDE = 64
_BIN_DEGREES = 30.0
_CERTAIN = 0.7
"""Confidence from which an azimuth is not marked as uncertain."""
_SHARE = 0.8
"""Share of all movement of the silhouette that the proposed layers make up."""
_SEED = 31


@dataclass(frozen=True)
class AutomaticSettings:
    """How codes are found and ordered without annotations; see `azimuths` for what is assumed."""

    layers: int | None = None
    """First layers that a code replaces. Default: those that move the silhouette (`propose_layers`)."""
    pool: int = 360
    """Seeds 0 .. pool - 1 are tried; fewer are faster, and put more codes at the wrong end."""
    objects: int = 8
    """Objects under every seed."""
    codes: int = 24
    """Codes kept: those that fit best, from all sides."""
    front: int | None = None
    """Seed of a code that shows the front, to correct a result that took the other end for it."""

    def __post_init__(self) -> None:
        check_ranges(self, layers=AT_LEAST_1)
        if self.pool < 8 or not 2 <= self.codes <= self.pool or self.objects < 2:
            raise GanverseError(
                f"expected a pool of 8 seeds or more, between 2 codes and the pool, and 2 objects or more, got {self}"
            )


@dataclass(frozen=True)
class AutomaticViews:
    """View codes by azimuth, those with a doubtful end among `uncertain`, and the images of objects under each."""

    codes: ViewCodes
    images: Float[Tensor, "codes objects 3 side side"]


def find_automatic_views(
    network: ImageGenerator,
    name: str,
    masker: Masker,
    settings: AutomaticSettings | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> AutomaticViews:
    """View codes of a GAN, their azimuths estimated from silhouettes.

    Args:
        network: the generator; everything runs on its device.
        name: what the file calls it, usually the sha256 of its weights.
        masker: of its category.
        settings: None for the defaults.
        report: takes lines about the progress.

    Raises:
        GanverseError: more layers than there are, or a front that is not among the codes.
    """
    settings = settings or AutomaticSettings()
    generator = framed(network, min(network.resolution, _SIDE))
    layers = settings.layers
    if layers is None:
        layers = propose_layers(layer_movements(generator, masker), report)
    dims = layer_dims(generator.style_sizes, layers)
    trial = CandidateSettings(pool=settings.pool, objects=settings.objects)
    report(f"trying {settings.pool} codes of the first {layers} layers on {settings.objects} objects")
    images = images_of_views(generator, dims, range(settings.pool), trial)
    seeds = sorted(rank_candidates(range(settings.pool), images, trial).seeds)
    if settings.front is not None and settings.front not in seeds:
        raise GanverseError(f"expected the front to be one of the codes that were tried, got seed {settings.front}")
    images = images[seeds]
    masks = _silhouettes(masker, images.flatten(0, 1), device_of(generator)).unflatten(0, images.shape[:2])
    front = None if settings.front is None else seeds.index(settings.front)
    estimate = estimate_azimuths(images, masks, front=front)
    chosen = choose_codes(estimate, settings.codes)
    codes = tuple(ViewCode(seeds[row], float(estimate.azimuth_degrees[row].round()) % 360) for row in chosen)
    uncertain = tuple(seeds[row] for row in chosen if estimate.confidence[row] < _CERTAIN)
    return AutomaticViews(ViewCodes(name, dims, codes, uncertain=uncertain), images[chosen])


@torch.no_grad()
def layer_movements(generator: ImageGenerator, masker: Masker, *, pairs: int = 8) -> list[float]:
    """Per layer how far it moves the silhouette: 1 - IoU before and after, the mean over pairs of objects.

    Every layer of an object gets another object's styles, alone. Layers that decide pose and shape move the silhouette;
    later ones (paint, texture, background) do not. The paper takes 4 of 16 layers for its cars, found by looking.
    """
    device = device_of(generator)
    own, other = (
        generator.styles(generator.map(latents(_SEED, range(k, 2 * pairs, 2), generator.z_dim).to(device)))
        for k in (0, 1)
    )
    before = _silhouettes(masker, generator.synthesize(own), device)
    movements = []
    for where in style_slices(generator.style_sizes):
        changed = own.clone()
        changed[:, where] = other[:, where]
        after = _silhouettes(masker, generator.synthesize(changed), device)
        movements.append(float((1 - soft_iou(before, after)).mean()))
    return movements


def propose_layers(movements: Sequence[float], report: Callable[[str], None] = lambda line: None) -> int:
    """The fewest first layers that make up 80 % of all movement."""
    total = max(sum(movements), 1e-9)
    shares = [reached / total for reached in accumulate(movements)]
    for layer, (movement, share) in enumerate(zip(movements, shares, strict=True), 1):
        report(f"layer {layer} moves the silhouette by {movement:.3f}, {share:.0%} of all movement so far")
    return next((k for k, share in enumerate(shares, 1) if share >= _SHARE), len(movements))


def choose_codes(estimate: AzimuthEstimate, count: int) -> list[int]:
    """Rows of the codes to keep, by azimuth: the best of every 30 degrees first, then the second best, ..."""
    bins = (estimate.azimuth_degrees / _BIN_DEGREES).round().long().remainder(round(360 / _BIN_DEGREES)).tolist()
    order: list[int] = estimate.confidence.argsort(descending=True, stable=True).tolist()
    place = places_in_bins(order, bins)
    kept = sorted(order, key=lambda row: (place[row], order.index(row)))[:count]
    return sorted(kept, key=lambda row: (float(estimate.azimuth_degrees[row]), row))


@torch.no_grad()
def _silhouettes(
    masker: Masker, images: Float[Tensor, "batch 3 side side"], device: torch.device
) -> Float[Tensor, "batch 1 side side"]:
    """On the CPU."""
    return torch.cat([masker(part.to(device)).foreground.cpu() for part in images.split(32)])
