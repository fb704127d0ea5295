"""View codes of the car world, whose azimuths are known: the source of the oracle."""

from __future__ import annotations

import torch

from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims, view_latents
from ganverse.worlds.generator import CarWorldGenerator

NAME = "car-world"
CANDIDATES = 4096


def world_view_codes(generator: CarWorldGenerator, count: int = 24, *, bins: int = 12) -> ViewCodes:
    """The first seeds that fill every azimuth bin evenly, annotated like a person would: with the bin's center.

    count: a multiple of `bins`. Elevations and distances differ between codes and are not told.
    """
    seeds = list(range(CANDIDATES))
    styles = generator.styles(generator.map(view_latents(seeds, generator.z_dim)))
    width = 360.0 / bins
    azimuth = torch.atan2(styles[:, 0], styles[:, 1]).rad2deg()
    index = (azimuth / width).round().long().remainder(bins).tolist()
    per_bin = -(-count // bins)
    chosen = [[seed for seed in seeds if index[seed] == k][:per_bin] for k in range(bins)]
    codes = [ViewCode(seed, k * width) for k, found in enumerate(chosen) for seed in found]
    return ViewCodes(NAME, layer_dims(generator.style_sizes, generator.view_layers), tuple(codes[:count]))
