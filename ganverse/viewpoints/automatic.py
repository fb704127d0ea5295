"""View codes of any category without a person: `ganverse views --azimuths auto`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.io import image_grid, save_image
from ganverse.masks.masker import separate_instances
from ganverse.masks.segmenter import Segmenter
from ganverse.viewpoints.annotation import UnfinishedViews
from ganverse.viewpoints.candidates import CandidateSettings, pictures_of_views, rank_candidates
from ganverse.viewpoints.circle import CircleReading, read_circle
from ganverse.viewpoints.layers import proposed_layers, silhouette_movements
from ganverse.viewpoints.view_codes import ViewCode, layer_dims

_SIDE = 64
_SHOWN = 3
_BIN_DEGREES = 30.0
_SURE = 0.7


@dataclass(frozen=True)
class AutoViews:
    """How codes are found and ordered without annotations; see `viewpoints.circle` for what is presumed.

    layers: first layers that a code replaces; null takes what `viewpoints.layers` proposes. pool: seeds 0 .. pool-1
    are tried; fewer are quicker, and put more codes at the wrong end. objects: looked at under every seed. codes: kept,
    those that fit best, from all sides. front: seed of a code that shows the front, if the other end was taken for it.
    """

    layers: int | None = None
    pool: int = 360
    objects: int = 8
    codes: int = 24
    front: int | None = None

    def __post_init__(self) -> None:
        if self.pool < 8 or not 2 <= self.codes <= self.pool or self.objects < 2:
            raise GanverseError(f"expected a pool of 8 seeds or more, 2 codes to pool, 2 objects or more, got {self}")


def find_automatic_views(
    network: ImageGenerator, name: str, segmenter: Segmenter, output: Path, settings: AutoViews
) -> Path:
    """Writes the view codes, with those it is unsure of, and beside them a picture of all by azimuth; returns the file.

    network: of a GAN; `name` is what the file calls it. segmenter: of its category.

    Raises:
        GanverseError: more layers than there are, or a front that was not looked at.
    """
    say = partial(Console(stderr=True).print, highlight=False, soft_wrap=True)
    generator = framed(network, min(network.resolution, _SIDE))
    silhouettes = partial(_silhouettes, segmenter)
    layers = settings.layers or _propose_layers(generator, silhouettes)
    dims = layer_dims(generator.style_sizes, layers)
    looking = CandidateSettings(pool=settings.pool, objects=settings.objects)
    say(f"looking at {settings.objects} objects under {settings.pool} codes of the first {layers} layers")
    pictures = pictures_of_views(generator, dims, range(settings.pool), looking)
    seeds = sorted(rank_candidates(range(settings.pool), pictures, looking).seeds)
    if settings.front is not None and settings.front not in seeds:
        raise GanverseError(f"expected auto.front among the codes that were looked at, got {settings.front}")
    pictures = pictures[seeds]
    masks = silhouettes(pictures.flatten(0, 1)).view(*pictures.shape[:2], 1, *pictures.shape[3:])
    front = None if settings.front is None else seeds.index(settings.front)
    reading = read_circle(pictures, masks, front=front)
    chosen = choose_codes(reading, settings.codes)
    codes = tuple(ViewCode(seeds[row], float(reading.azimuth_degrees[row].round()) % 360) for row in chosen)
    unsure = tuple(seeds[row] for row in chosen if reading.confidence[row] < _SURE)
    UnfinishedViews(name, dims, codes, doubted=unsure).save(output)
    picture = output.with_suffix(".png")
    save_image(image_grid(pictures[chosen, :_SHOWN].transpose(0, 1).flatten(0, 1), len(chosen)), picture)
    say(f"{len(codes)} codes from azimuth 0 to 360, left to right in {picture}: 0 is the front, 90 its left side")
    say(f"unsure of {len(unsure)}, which may be half a turn off: `ganverse annotate` shows them first; seeds {unsure}")
    say(f"if 0 shows the rear: call again with --auto.front {_rear_seed(codes)}")
    return output


@torch.no_grad()
def _silhouettes(
    segmenter: Segmenter, images: Float[Tensor, "batch 3 side side"]
) -> Float[Tensor, "batch 1 side side"]:
    return torch.cat([separate_instances(segmenter(part)).foreground for part in images.split(32)])


def _propose_layers(generator: ImageGenerator, silhouettes: partial[Tensor]) -> int:
    """Prints how much every layer moves the silhouette, and the proposal."""
    movements = silhouette_movements(generator, silhouettes)
    layers = proposed_layers(movements)
    table = Table("layer", "silhouette moves by", "share so far", title="which layers turn the object")
    for k in range(len(movements)):
        share = sum(movements[: k + 1]) / max(sum(movements), 1e-9)
        table.add_row(str(k + 1), f"{movements[k]:.3f}", f"{share:.2f}" + (" <- proposed" if k + 1 == layers else ""))
    Console(stderr=True).print(table)
    return layers


def choose_codes(reading: CircleReading, count: int) -> list[int]:
    """Rows of the codes to keep, by azimuth: the best of every 30 degrees first, then the second best, ..."""
    bins = (reading.azimuth_degrees / _BIN_DEGREES).round().long().remainder(round(360 / _BIN_DEGREES)).tolist()
    order: Sequence[int] = reading.confidence.argsort(descending=True, stable=True).tolist()
    place = {row: sum(bins[other] == bins[row] for other in order[:rank]) for rank, row in enumerate(order)}
    kept = sorted(order, key=lambda row: (place[row], order.index(row)))[:count]
    return sorted(kept, key=lambda row: (float(reading.azimuth_degrees[row]), row))


def _rear_seed(codes: Sequence[ViewCode]) -> int:
    return min(codes, key=lambda code: abs(code.azimuth_degrees - 180)).seed
