"""UV textures: bilinear sampling at the interpolated coordinates of each pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sample_texture(
    texture: Float[Tensor, "batch channels tex_height tex_width"], uv: Float[Tensor, "batch height width 2"]
) -> Float[Tensor, "batch channels height width"]:
    """Bilinear texture look-up. uv in [0, 1], v up: (0, 0) is the lower left corner; beyond the border it clamps."""
    grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], dim=-1)
    return torch.nn.functional.grid_sample(texture, grid, padding_mode="border", align_corners=False)
