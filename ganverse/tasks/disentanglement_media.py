"""Sample images of StyleGAN-R training: full turns with both renderers, and swap tables."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.generators.framing import unframed
from ganverse.io import image_grid
from ganverse.neural_renderer.controls import Factor, azimuth_sweep, render_in_chunks, render_meshes, swap_matrix
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene
from ganverse.training.media import Medium

FACTORS: tuple[Factor, ...] = ("shape", "texture", "background")
AZIMUTHS = tuple(30.0 * step for step in range(12))


def disentanglement_media(renderer: StyleGANR, networks: FrozenNetworks, scene: TrainingScene) -> dict[str, Medium]:
    """Named grids in [0, 1], at the generator's image size.

    camera: for each object the GAN's image, then a full turn with StyleGAN-R and, below it, with DIB-R. swap-*: rows
    are scenes, columns are the source of the factor; the first column and row show the GAN's own images.
    """
    assert networks.generator is not None
    generated = unframed(networks.generator)[0].synthesize(scene.styles).detach()
    swaps = {f"swap-{f}": image_grid(swap_table(renderer, scene, generated, f), len(scene) + 1) for f in FACTORS}
    return {"camera": image_grid(camera_rows(renderer, networks, scene, generated), len(AZIMUTHS) + 1), **swaps}


def camera_rows(
    renderer: StyleGANR,
    networks: FrozenNetworks,
    scene: TrainingScene,
    generated: Float[Tensor, "scenes 3 height width"],
) -> Float[Tensor, "cells 3 height width"]:
    """Two rows per object: the GAN's image, then a full turn with StyleGAN-R; below, the same with DIB-R on white."""
    sweep = azimuth_sweep(scene.inputs, networks.cameras.all(), AZIMUTHS)
    both = torch.stack([render_in_chunks(renderer, sweep), render_meshes(renderer, networks.inverse.template, sweep)])
    rows = both.unflatten(1, (len(scene), len(AZIMUTHS))).transpose(0, 1)
    return torch.cat([torch.stack([generated, generated], dim=1)[:, :, None], rows], dim=2).flatten(0, 2)


def swap_table(
    renderer: StyleGANR, scene: TrainingScene, generated: Float[Tensor, "scenes 3 height width"], factor: Factor
) -> Float[Tensor, "cells 3 height width"]:
    """Rows: scenes (first column: the GAN's image). Columns: source of the factor (first row)."""
    count = len(scene)
    cells = render_in_chunks(renderer, swap_matrix(scene.inputs, factor)).unflatten(0, (count, count))
    header = torch.cat([torch.ones_like(generated[:1]), generated])
    body = torch.cat([generated[:, None], cells], dim=1)
    return torch.cat([header[None], body]).flatten(0, 1)
