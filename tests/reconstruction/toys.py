"""A tiny untrained network and pictures of cars in a wider landscape."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from PIL import Image

from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.worlds.generator import CarWorldGenerator, world_samples

NETWORK = InverseNetworkConfig(
    resolution=32, subdivisions=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)


def save_weights(path: Path) -> Path:
    torch.manual_seed(0)
    card = InverseCard("toy", "", 0, 0, category="car")
    save_inverse(InverseGraphicsNetwork(NETWORK), CameraTable([0.0]), path, card)
    return path


@cache
def car(size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """A car at the left of a landscape twice as wide as high; picture [1, 3, size, 2 size] and its mask."""
    _, images, masks = world_samples(0, torch.tensor([3]), CarWorldGenerator(size))
    border = images[:, :, :, -1:].expand(-1, -1, -1, size)
    return torch.cat([images, border], dim=3), torch.cat([masks, torch.zeros_like(masks)], dim=3)


def save_photo(path: Path) -> Path:
    """`car` as a picture file."""
    Image.fromarray((car()[0][0] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def save_mask(path: Path) -> Path:
    """Its mask as a picture file."""
    Image.fromarray((car()[1][0, 0] * 255).round().byte().numpy()).save(path)
    return path
