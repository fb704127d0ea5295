"""Tensors as pictures: tables of them, 8-bit images, PNG files."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def grid(images: Float[Tensor, "count 3 height width"], columns: int, *, zoom: int = 1) -> Float[Tensor, "3 rows cols"]:
    """Images in rows of `columns`, every pixel `zoom` times as large; missing ones at the end are white."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images, images.new_ones(rows * columns - count, 3, height, width)])
    table = (
        padded.view(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)
    )
    return table.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)


def as_image(picture: Float[Tensor, "3 height width"]) -> Image.Image:
    """8-bit picture of values in [0, 1]; what lies outside is clamped."""
    pixels = picture.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


def save_picture(picture: Float[Tensor, "3 height width"], path: Path) -> None:
    """Writes a PNG atomically; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    as_image(picture).save(temporary, format="PNG")
    os.replace(temporary, path)
