"""A folder of pictures and of the masks that somebody has painted for them: NAME.png and NAME-mask.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.errors import GanverseError

SMALLEST_SIDE = 256
"""Pictures are written at least this large: smaller ones are hard to paint on."""


def picture_path(folder: Path, number: int) -> Path:
    """Where picture `number` lies."""
    return folder / f"{number:03d}.png"


def mask_path(folder: Path, number: int) -> Path:
    """Where the mask of picture `number` is expected."""
    return folder / f"{number:03d}-mask.png"


def write_pictures(images: Float[Tensor, "pictures 3 side side"], folder: Path) -> None:
    """Writes pictures in [0, 1], enlarged where they are small; those that lie there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    zoom = max(1, -(-SMALLEST_SIDE // images.shape[3]))
    for number, image in enumerate(images):
        if not picture_path(folder, number).exists():
            pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            large = Image.fromarray(pixels)
            large.resize((large.width * zoom, large.height * zoom), Image.Resampling.BICUBIC).save(
                picture_path(folder, number)
            )


def painted_numbers(folder: Path, pictures: int) -> list[int]:
    """The pictures that have a mask."""
    return [number for number in range(pictures) if mask_path(folder, number).is_file()]


def read_masks(folder: Path, numbers: list[int], side: int) -> Float[Tensor, "masks 1 side side"]:
    """Masks at `side` pixels, in [0, 1]: 1 where white was painted.

    Raises:
        GanverseError: a file is no picture, or not as large as the picture it belongs to.
    """
    return torch.stack([_read(mask_path(folder, number), picture_path(folder, number), side) for number in numbers])


def _read(path: Path, picture: Path, side: int) -> Float[Tensor, "1 side side"]:
    try:
        with Image.open(path) as file, Image.open(picture) as original:
            if file.size != original.size:
                raise GanverseError(
                    f"expected {path} with the size of its picture, {original.width} x {original.height}, got "
                    f"{file.width} x {file.height}; paint on a layer over the picture"
                )
            pixels = np.array(file.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise GanverseError(f"expected a picture at {path}, but it cannot be read ({error}); save it as PNG") from error
    white = torch.from_numpy(pixels > 127).float()[None, None]
    return F.interpolate(white, (side, side), mode="area")[0]
