"""Draw objects that are at home in one view: the less they have to be turned alike, the less their own view leaks.

Replacing the view dimensions never removes a content code's own viewpoint completely: what remains shifts the picture
by an amount that depends on it. Objects whose own view resembles one common anchor are all shifted alike, so a view
code shows them from one side, and the learned camera of that code absorbs the shift. Best of some dozen candidates is
enough, and choosing them costs no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.generators.protocol import ImageGenerator
from ganverse.viewpoints.view_codes import ViewCodes, view_latents

TRIES = 64
"""Candidates per object."""
_SCALE_SAMPLES = 256


@dataclass(frozen=True)
class Anchor:
    """The view that objects are chosen for: values of the view dimensions, and the usual spread of each."""

    values: Float[Tensor, " dims"]
    scale: Float[Tensor, " dims"]


@torch.no_grad()
def view_anchor(
    generator: ImageGenerator, view_dims: Sequence[int], seed: int, *, device: torch.device | str = "cpu"
) -> Anchor:
    """The anchor at the view of latent number `seed` (see `view_codes.view_latents`)."""
    z = view_latents([seed, *range(_SCALE_SAMPLES)], generator.z_dim).to(device)
    own = generator.styles(generator.map(z))[:, list(view_dims)]
    return Anchor(own[0], own[1:].std(dim=0).clamp_min(1e-6))


def anchor_of(generator: ImageGenerator, codes: ViewCodes, *, device: torch.device | str = "cpu") -> Anchor | None:
    """The anchor that the view codes ask for, if they do."""
    return None if codes.anchor is None else view_anchor(generator, codes.view_dims, codes.anchor, device=device)


def draws_per_object(anchor: Anchor | None) -> int:
    """Latent codes that `content_styles` wants for every object."""
    return 1 if anchor is None else TRIES


def content_styles(
    generator: ImageGenerator,
    candidates: Float[Tensor, "objects tries z_dim"],
    view_dims: Sequence[int],
    anchor: Anchor | None,
) -> Float[Tensor, "objects styles"]:
    """w* of every object: of its candidate whose own view is nearest to the anchor (without an anchor, the first)."""
    objects, tries = candidates.shape[:2]
    styles = generator.styles(generator.map(candidates.flatten(0, 1))).view(objects, tries, -1)
    if anchor is None:
        return styles[:, 0]
    away = ((styles[:, :, list(view_dims)] - anchor.values) / anchor.scale).square().sum(dim=2)
    return styles[torch.arange(objects, device=styles.device), away.argmin(dim=1)]
