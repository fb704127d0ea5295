"""Pictures and the masks that somebody has painted for them, as PNG files: NAME.png and NAME-mask.png."""

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
_DARK, _LIGHT, _MOST_GRAY = 64, 191, 0.1


def picture_path(folder: Path, number: int) -> Path:
    """Where picture `number` lies."""
    return folder / f"{number:03d}.png"


def mask_of(picture: Path) -> Path:
    """Where the mask of a picture is expected."""
    return picture.with_name(f"{picture.stem}-mask.png")


def mask_path(folder: Path, number: int) -> Path:
    """Where the mask of picture `number` is expected."""
    return mask_of(picture_path(folder, number))


def write_picture(image: Float[Tensor, "3 side side"], path: Path) -> None:
    """Writes a picture in [0, 1], enlarged by a whole number where it is small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    zoom = max(1, -(-SMALLEST_SIDE // image.shape[2]))
    picture = Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC).save(path)


def write_pictures(images: Float[Tensor, "pictures 3 side side"], folder: Path) -> None:
    """Writes pictures in [0, 1] by their numbers; those that lie there already are left alone."""
    for number, image in enumerate(images):
        if not picture_path(folder, number).exists():
            write_picture(image, picture_path(folder, number))


def painted_numbers(folder: Path, pictures: int) -> list[int]:
    """The pictures that have a mask."""
    return [number for number in range(pictures) if mask_path(folder, number).is_file()]


def read_masks(folder: Path, numbers: list[int], side: int) -> Float[Tensor, "masks 1 side side"]:
    """Masks of `folder` by number; see `read_mask`."""
    return torch.stack([read_mask(picture_path(folder, number), side) for number in numbers])


def read_mask(picture: Path, side: int) -> Float[Tensor, "1 side side"]:
    """The mask of a picture at `side` pixels, in [0, 1]: 1 where white was painted.

    Raises:
        GanverseError: the mask cannot be read, is not as large as its picture, or is not black and white.
    """
    path = mask_of(picture)
    mask, size = _opened(path), _opened(picture).size
    if mask.size != size:
        raise GanverseError(
            f"expected {path} with the size of its picture, {size[0]} x {size[1]}, got {mask.width} x {mask.height}; "
            "paint on a layer over the picture"
        )
    gray = np.array(mask.convert("L"))
    unclear = float(((gray >= _DARK) & (gray <= _LIGHT)).mean())
    if unclear > _MOST_GRAY or 0 < gray.max() < _DARK:
        raise GanverseError(
            f"expected {path} to be a mask, white (255) on the object and black (0) elsewhere, got gray levels from "
            f"{gray.min()} to {gray.max()}, {unclear:.0%} of the pixels neither dark nor light; save it in black and "
            "white"
        )
    return F.interpolate(torch.from_numpy(gray > 127).float()[None, None], (side, side), mode="area")[0]


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            file.load()
            return file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GanverseError(f"expected a picture at {path}, but it cannot be read ({error}); save it as PNG") from error
