"""What turns rasterized coordinates and normals into colors: textures, and light as spherical harmonics.

Paper section 3: a light head of nine numbers, off in the main model.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

# Real spherical-harmonic constants with the clamped-cosine convolution folded in (Ramamoorthi and Hanrahan 2001) and
# divided by the constant term's, so that light = (1, 0, ..., 0) leaves a texture as it is.
_BAND_1 = 2.0 / 3.0 * 3.0**0.5
_BAND_2 = 0.25 * 15.0**0.5
_BAND_2_ZZ = 0.25 * 5.0**0.5 / 2.0


def texture_mapping(
    texture_coordinates: Float[Tensor, "batch height width 2"],
    texture_maps: Float[Tensor, "batch channels tex_height tex_width"],
    mode: Literal["nearest", "bilinear"] = "nearest",
) -> Float[Tensor, "batch height width channels"]:
    """Texture look-up with the arguments of `kaolin.render.mesh.texture_mapping`.

    texture_coordinates: (u, v) in [0, 1], v up: (0, 0) is the lower left corner; clamped beyond the border.
    mode: as in `torch.nn.functional.grid_sample`.
    """
    grid = torch.stack([2 * texture_coordinates[..., 0] - 1, 1 - 2 * texture_coordinates[..., 1]], dim=-1)
    colors = torch.nn.functional.grid_sample(texture_maps, grid, mode, padding_mode="border", align_corners=False)
    return colors.permute(0, 2, 3, 1)


def spherical_harmonics(normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 9"]:
    """Irradiance basis at unit normals (world frame), order 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""
    x, y, z = normals.unbind(dim=-1)
    return torch.stack(
        [
            torch.ones_like(x),
            _BAND_1 * y,
            _BAND_1 * z,
            _BAND_1 * x,
            _BAND_2 * x * y,
            _BAND_2 * y * z,
            _BAND_2_ZZ * (3 * z * z - 1),
            _BAND_2 * x * z,
            _BAND_2 / 2 * (x * x - y * y),
        ],
        dim=-1,
    )


def ambient_light(batch: int, device: torch.device | str | None = None) -> Float[Tensor, "batch 9"]:
    """White light from everywhere: coefficients that leave a texture as it is."""
    light = torch.zeros(batch, 9, device=device)
    light[:, 0] = 1
    return light
