"""How many first layers of w* make a view code: measured by how far each layer moves the silhouette.

The paper takes 4 of 16 layers for its cars, found by looking. Here every layer of an object gets another object's
styles, alone, and the silhouette before is compared with the silhouette after: layers that decide pose and shape move
it, later ones (paint, texture, background) do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.generators.protocol import ImageGenerator, style_slices
from ganverse.random_streams import latents

Silhouettes = Callable[[Float[Tensor, "batch 3 side side"]], Float[Tensor, "batch 1 side side"]]
"""Images to foreground masks, both in [0, 1]."""

SHARE = 0.8


@torch.no_grad()
def silhouette_movements(
    generator: ImageGenerator, silhouettes: Silhouettes, *, pairs: int = 8, seed: int = 31
) -> list[float]:
    """Per layer 1 - IoU of the silhouettes before and after it alone is exchanged, the mean over pairs of objects."""
    own, other = (
        generator.styles(generator.map(latents(seed, range(k, 2 * pairs, 2), generator.z_dim))) for k in (0, 1)
    )
    before = silhouettes(generator.synthesize(own))
    movements = []
    for where in style_slices(generator.style_sizes):
        changed = own.clone()
        changed[:, where] = other[:, where]
        after = silhouettes(generator.synthesize(changed))
        joint, either = torch.minimum(before, after).flatten(1), torch.maximum(before, after).flatten(1)
        movements.append(float((1 - joint.sum(dim=1) / either.sum(dim=1).clamp_min(1e-6)).mean()))
    return movements


def proposed_layers(movements: Sequence[float], share: float = SHARE) -> int:
    """The fewest first layers that make up `share` of all movement."""
    total = max(sum(movements), 1e-9)
    return next((k for k, reached in enumerate(accumulate(movements), 1) if reached >= share * total), len(movements))
