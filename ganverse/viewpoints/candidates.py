"""View-code candidates of a generator nobody has labeled: diverse ones first, only those whose objects agree.

The paper's annotator looks for codes "whose objects look most consistent" (section 2). Without a pose regressor, as
with a user's own GAN, two measures on small gray pictures stand in for that look: what a code does to one object (the
picture minus that object's mean picture over all codes) should be what it does to the next object, and codes that do
the same thing to all objects need to be looked at only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.random_streams import latents
from ganverse.viewpoints.view_codes import mix_styles, view_latents

_SIDE = 16


@dataclass(frozen=True)
class CandidateSettings:
    """How candidates are looked for.

    pool: seeds 0 .. pool-1 are tried. objects: shown under every code. content_seed: the stream they come from.
    agreeing: share of the pool, the part whose objects agree most, that candidates are taken from.
    batch: images synthesized at once.
    """

    pool: int = 96
    objects: int = 3
    content_seed: int = 1
    agreeing: float = 0.9
    batch: int = 16

    def __post_init__(self) -> None:
        if self.pool < 2 or self.objects < 2 or self.batch < 1 or not 0 < self.agreeing <= 1:
            raise GanverseError(
                f"expected a pool of 2 codes and 2 objects or more and a share `agreeing` in (0, 1], got {self}"
            )


@dataclass(frozen=True)
class ViewCandidates:
    """Seeds in the order in which they are worth looking at, and in [-1, 1] how much the objects of each agree."""

    seeds: tuple[int, ...]
    agreement: tuple[float, ...]


@torch.no_grad()
def pictures_of_views(
    generator: ImageGenerator,
    view_dims: Sequence[int],
    seeds: Sequence[int],
    settings: CandidateSettings,
    *,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "seeds objects 3 height width"]:
    """The same few objects under the view code of every seed, in [0, 1], on the CPU."""
    z = latents(settings.content_seed, range(settings.objects), generator.z_dim).to(device)
    contents = generator.styles(generator.map(z))
    own = generator.styles(generator.map(view_latents(seeds, generator.z_dim).to(device)))
    views = own[:, list(view_dims)].repeat_interleave(len(contents), dim=0)
    rows = mix_styles(contents.repeat(len(seeds), 1), views, view_dims)
    images = torch.cat([generator.synthesize(part).cpu() for part in rows.split(settings.batch)])
    return images.float().clamp(0, 1).unflatten(0, (len(seeds), settings.objects))


def rank_candidates(
    seeds: Sequence[int], pictures: Float[Tensor, "seeds objects 3 height width"], settings: CandidateSettings
) -> ViewCandidates:
    """The agreeing share of the seeds, so ordered that every beginning of the list is as diverse as can be.

    The first is the one whose objects agree most; each next one is the farthest (in cosine distance of what the codes
    do) from all before it, so a view comes late if it was already there.
    """
    effect = view_effects(pictures)
    agreement = effect_agreement(effect)
    kept = agreement.argsort(descending=True, stable=True)[: max(2, round(settings.agreeing * len(seeds)))]
    order = kept[farthest_first(F.normalize(effect[kept].mean(dim=1), dim=1))].tolist()
    return ViewCandidates(tuple(seeds[i] for i in order), tuple(float(agreement[i]) for i in order))


def view_effects(
    pictures: Float[Tensor, "seeds objects 3 height width"],
) -> Float[Tensor, "seeds objects numbers"]:
    """What codes do to objects: a small gray picture minus the object's mean over all codes, of unit length."""
    seeds, objects = pictures.shape[:2]
    gray = pictures.mean(dim=2).flatten(0, 1)[:, None]
    small = F.adaptive_avg_pool2d(gray, _SIDE).view(seeds, objects, -1)
    return F.normalize(small - small.mean(dim=0), dim=2)


def effect_agreement(effects: Float[Tensor, "seeds objects numbers"]) -> Float[Tensor, " seeds"]:
    """Mean cosine between the effects of a code on two different objects, in [-1, 1]."""
    objects = effects.shape[1]
    total = effects.sum(dim=1).square().sum(dim=1) - effects.square().sum(dim=(1, 2))
    return total / (objects * (objects - 1))


def farthest_first(points: Float[Tensor, "points dims"]) -> Int[Tensor, " points"]:
    """An order of unit vectors: the first one first, then always the farthest from all that came before it."""
    distance = 1 - points @ points.T
    order, nearest = [0], distance[0].clone()
    nearest[0] = -torch.inf
    while len(order) < len(points):
        order.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distance[order[-1]])
        nearest[order[-1]] = -torch.inf
    return torch.tensor(order)
