"""Photos and the objects in them: read, found or given by a mask, framed as the network was shown its objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image, ImageOps
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.masks.masker import Masker

LARGEST_SIDE = 1024
"""Photos are read at this longer side at most: the networks look at far fewer pixels."""
SEARCHED_SIDE = 256
"""Objects are looked for at this longer side: the segmenter itself sees 64 pixels, and telling objects apart at 1024
would take longer than all the rest."""
SMALLEST_SIDE = 16
SMALLEST_SHARE = 0.02
"""Smallest share of a photo that an object may cover to count as found."""
FILL = 0.88
"""Share of the square that the longer side of an object's bounding box takes, as in the training pictures."""


@dataclass(frozen=True)
class Photo:
    """A picture, upright, in [0, 1]; name: what error messages call it."""

    name: str
    pixels: Float[Tensor, "1 3 height width"]

    @classmethod
    def read(cls, path: Path) -> Photo:
        """A picture file, at most `LARGEST_SIDE` pixels a side.

        Raises:
            GanverseError: it is missing, no picture, or smaller than `SMALLEST_SIDE`.
        """
        pixels = np.array(_opened(path, "RGB"))
        return cls(str(path), torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)


def read_mask(path: Path, photo: Photo) -> Float[Tensor, "1 1 height width"]:
    """A black-and-white picture of the object (white), or the alpha of one that has it, at the photo's size.

    Raises:
        GanverseError: it cannot be read, has other proportions than the photo, or is empty.
    """
    gray = _opened(path, "alpha")
    height, width = photo.pixels.shape[2:]
    if abs(gray.width / gray.height - width / height) > 0.02 * width / height:
        raise GanverseError(
            f"expected a mask with the proportions of {photo.name} ({width} x {height}) at {path}, got {gray.width} x "
            f"{gray.height}; save the mask at the photo's size"
        )
    mask = torch.from_numpy(np.array(gray.resize((width, height), Image.Resampling.BILINEAR))).float()[None, None] / 255
    if float((mask > 0.5).float().sum()) == 0:
        raise GanverseError(f"expected the object to be white in the mask {path}, but all of it is black")
    return mask


def _opened(path: Path, mode: str) -> Image.Image:
    """Mode "alpha": transparency where there is any, gray otherwise."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGBA") if file.mode == "P" else file
            picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))  # first: everything after it touches fewer pixels
            upright = ImageOps.exif_transpose(picture)
            if mode == "alpha":
                upright = upright.getchannel("A") if "A" in upright.getbands() else upright.convert("L")
            else:
                upright = upright.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GanverseError(f"expected a picture at {path}, but it cannot be read ({error})") from error
    if min(upright.size) < SMALLEST_SIDE:
        raise GanverseError(f"expected {SMALLEST_SIDE} pixels a side or more in {path}, got {min(upright.size)}")
    return upright


@dataclass(frozen=True)
class Box:
    """A square in pixels; it may reach beyond the photo."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class FoundObject:
    """The main object of a photo. foreground: its mask in [0, 1]. box: the square in which the network sees it."""

    photo: Photo
    foreground: Float[Tensor, "1 1 height width"]
    box: Box

    def picture(self, size: int) -> Float[Tensor, "1 3 size size"]:
        """The square at `size` pixels a side; beyond the photo's border the border is repeated."""
        return crop(self.photo.pixels, self.box, size)

    def mask(self, size: int) -> Float[Tensor, "1 1 size size"]:
        """The object's mask in the same square; beyond the photo's border it is repeated too."""
        return crop(self.foreground, self.box, size)


@torch.no_grad()
def find_object(photo: Photo, masker: Masker) -> FoundObject:
    """The main object that a source of masks sees.

    Raises:
        GanverseError: there is none.
    """
    height, width = photo.pixels.shape[2:]
    scale = min(1.0, SEARCHED_SIDE / max(height, width))
    looked_at = [max(SMALLEST_SIDE, round(side * scale)) for side in (height, width)]
    small = F.interpolate(photo.pixels, looked_at, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
    mask = masker(small).foreground
    mask = F.interpolate(mask, (height, width), mode="bilinear", align_corners=False)
    if float((mask > 0.5).float().mean()) < SMALLEST_SHARE:
        raise GanverseError(
            f"expected an object covering 2 % of {photo.name} or more, found none; crop the photo closer"
        )
    return masked_object(photo, mask)


def masked_object(photo: Photo, mask: Float[Tensor, "1 1 height width"]) -> FoundObject:
    """The object that a mask shows, which is not empty."""
    return FoundObject(photo, mask, bounding_square(mask[0, 0] > 0.5, FILL))


def bounding_square(mask: Bool[Tensor, "height width"], fill: float) -> Box:
    """The square round the object's bounding box, of which the longer side takes the share `fill`."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, bottom, left, right = (int(edge) for edge in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    side = max(1, round(max(bottom - top, right - left) / fill))
    return Box((left + right - side) // 2, (top + bottom - side) // 2, side)


def crop(photo: Float[Tensor, "1 c height width"], box: Box, size: int) -> Float[Tensor, "1 c size size"]:
    """The square, scaled to `size` pixels; beyond the photo's border the border is repeated."""
    height, width = photo.shape[2:]
    rows = torch.arange(box.top, box.top + box.side, device=photo.device).clamp(0, height - 1)
    columns = torch.arange(box.left, box.left + box.side, device=photo.device).clamp(0, width - 1)
    square = photo[:, :, rows][:, :, :, columns]
    return F.interpolate(square, (size, size), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
