"""Pictures of StyleGAN-R in training: camera rows, swap tables, and its two renderers side by side."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.io import image_grid
from ganverse.neural_renderer.controls import Factor, azimuth_sweep, render_in_chunks, render_meshes, swap_matrix
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene
from ganverse.training.media import Medium

FACTORS: tuple[Factor, ...] = ("shape", "texture", "background")
AZIMUTHS = tuple(30.0 * step for step in range(12))


def disentanglement_media(renderer: StyleGANR, networks: FrozenNetworks, scene: TrainingScene) -> dict[str, Medium]:
    """Named grids in [0, 1], of images in the generator's own size.

    camera: the GAN's image, then StyleGAN-R all round. dual: DIB-R above StyleGAN-R, same cameras. swap-*: rows are
    scenes, columns are where that factor comes from; first column and row show the GAN's own images.
    """
    camera = image_grid(camera_rows(renderer, networks, scene), len(AZIMUTHS) + 1)
    dual = image_grid(dual_rows(renderer, networks, scene), len(AZIMUTHS))
    swaps = {f"swap-{f}": image_grid(swap_table(renderer, scene, f), len(scene.images) + 1) for f in FACTORS}
    return {"camera": camera, "dual": dual, **swaps}


def camera_rows(
    renderer: StyleGANR, networks: FrozenNetworks, scene: TrainingScene
) -> Float[Tensor, "cells 3 height width"]:
    """Per object one row: the GAN's own image, then StyleGAN-R all round."""
    sweep = azimuth_sweep(scene.inputs, networks.cameras.all(), AZIMUTHS)
    rows = render_in_chunks(renderer, sweep).unflatten(0, (len(scene.images), len(AZIMUTHS)))
    return torch.cat([renderer.framing.invert(scene.images)[:, None], rows], dim=1).flatten(0, 1)


def dual_rows(
    renderer: StyleGANR, networks: FrozenNetworks, scene: TrainingScene
) -> Float[Tensor, "cells 3 height width"]:
    """Per object two rows: DIB-R on white, and StyleGAN-R, from the same cameras."""
    sweep = azimuth_sweep(scene.inputs, networks.cameras.all(), AZIMUTHS)
    both = torch.stack([render_meshes(renderer, networks.inverse.template, sweep), render_in_chunks(renderer, sweep)])
    return both.unflatten(1, (len(scene.images), len(AZIMUTHS))).transpose(0, 1).flatten(0, 2)


def swap_table(renderer: StyleGANR, scene: TrainingScene, factor: Factor) -> Float[Tensor, "cells 3 height width"]:
    """Rows: scenes (first column: the GAN's image). Columns: where the factor comes from (first row)."""
    images, count = renderer.framing.invert(scene.images), len(scene.images)
    cells = render_in_chunks(renderer, swap_matrix(scene.inputs, factor)).unflatten(0, (count, count))
    header = torch.cat([torch.ones_like(images[:1]), images])
    body = torch.cat([images[:, None], cells], dim=1)
    return torch.cat([header[None], body]).flatten(0, 1)
