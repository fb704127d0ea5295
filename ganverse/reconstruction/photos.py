"""Photos and their objects: found or given by a mask, and framed as in the training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ganverse import io
from ganverse.errors import GanverseError
from ganverse.generators.framing import Framing
from ganverse.inverse.weights import InverseCard
from ganverse.masks.masker import Masker
from ganverse.masks.segmenter import Segmenter

LARGEST_SIDE = 1024
"""Photos are scaled down to this longer side; the networks see far fewer pixels."""
SEARCHED_SIDE = 256
"""Longer side for finding objects: the segmenter sees 64 pixels, and connected components at 1024 would dominate the
running time."""
SMALLEST_SIDE = 16
SMALLEST_SHARE = 0.02
"""Smallest share of a photo that an object must cover."""
FILL = 0.88
"""Longer side of an object's bounding box relative to the square, as in the training images."""
_HIDDEN = 0.5
"""Replaces transparent pixels, whose hidden colors never matter."""


@dataclass(frozen=True)
class Photo:
    """An upright image in [0, 1]. name: for error messages. mask: the object, if the file has an alpha mask."""

    name: str
    pixels: Float[Tensor, "1 3 height width"]
    mask: Float[Tensor, "1 1 height width"] | None = None

    @classmethod
    def read(cls, source: Path | bytes, name: str | None = None) -> Photo:
        """Reads an image file or its contents, scaled down to at most `LARGEST_SIDE` pixels per side.

        Raises:
            GanverseError: it is missing, not an image, or too small.
        """
        pixels, alpha = io.read_image_with_alpha(source, largest=LARGEST_SIDE)
        name, (height, width) = name or str(source), pixels.shape[1:]
        if min(height, width) < SMALLEST_SIDE:
            scaled = f" where its longer side is {LARGEST_SIDE} pixels" if max(height, width) == LARGEST_SIDE else ""
            raise GanverseError(
                f"expected at least {SMALLEST_SIDE} pixels per side in {name}, got {width} x {height}{scaled}; crop it "
                "closer to the object"
            )
        if alpha is None:
            return cls(name, pixels[None])
        return cls(name, torch.lerp(torch.full_like(pixels, _HIDDEN), pixels, alpha)[None], alpha[None])

    def to(self, device: torch.device | str) -> Photo:
        """Copies to `device`."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, pixels=self.pixels.to(device), mask=mask)


def read_mask(path: Path, photo: Photo) -> Float[Tensor, "1 1 height width"]:
    """Reads a photo's mask, at its size and on its device; the object is white or opaque.

    Raises:
        GanverseError: it is unreadable, has another aspect ratio than the photo, or is empty.
    """
    mask = io.read_mask(path, largest=LARGEST_SIDE)[None]
    height, width = photo.pixels.shape[2:]
    found_height, found_width = mask.shape[2:]
    if abs(found_width / found_height - width / height) > 0.02 * width / height:
        raise GanverseError(
            f"expected a mask with the aspect ratio of {photo.name} ({width} x {height}) at {path}, got {found_width} "
            f"x {found_height}; save the mask at the photo's size"
        )
    mask = _resize(mask, height, width).to(photo.pixels.device)
    if not bool((mask > 0.5).any()):
        raise GanverseError(f"expected a white object in the mask {path}, got an all-black image")
    return mask


def masker_of(card: InverseCard, weights: Path, device: torch.device | str) -> Segmenter | None:
    """The segmenter that belongs to an inverse network, or None.

    This is `segmenter.safetensors` beside its weights, or the car segmenter for networks of cars.
    """
    beside = weights.with_name("segmenter.safetensors")
    if beside.is_file():
        return Segmenter.from_pretrained(beside).to(device)
    return Segmenter.from_pretrained().to(device) if card.category == "car" else None


@dataclass(frozen=True)
class Box:
    """A square in pixels; may extend beyond the photo."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class FoundObject:
    """The main object of a photo. foreground: its mask in [0, 1]. box: the square that the network sees."""

    photo: Photo
    foreground: Float[Tensor, "1 1 height width"]
    box: Box

    def picture(self, size: int) -> Float[Tensor, "1 3 size size"]:
        """The square at `size` pixels; the photo's border is repeated outside."""
        return crop(self.photo.pixels, self.box, size)

    def mask(self, size: int) -> Float[Tensor, "1 1 size size"]:
        """The object's mask in the same square; its border is repeated outside."""
        return crop(self.foreground, self.box, size)

    def framed(self, framing: Framing) -> tuple[Float[Tensor, "1 3 size size"], Float[Tensor, "1 1 size size"]]:
        """Image and mask with a frame's bars; objects are small enough that bars hide nothing of them."""
        shares = (side / framing.resolution for side in framing.size)
        wider = replace(self, box=bounding_square(self.foreground[0, 0] > 0.5, *(FILL * share for share in shares)))
        side = framing.resolution
        return framing.blacken(wider.picture(side)), framing.blacken(wider.mask(side))


@torch.no_grad()
def find_object(photo: Photo, masker: Masker | None) -> FoundObject:
    """The object in the photo's alpha mask, or else the main object found by `masker`.

    Raises:
        GanverseError: there is no object, or no masker to find it.
    """
    if photo.mask is not None:
        return masked_object(photo, photo.mask)
    if masker is None:
        raise GanverseError(
            f"expected a mask of the object in {photo.name}, since the weights have no segmenter; give a mask, "
            "--segmenter (made by `ganverse masks`), --mask-rcnn or --rembg, or cut the object out of the photo"
        )
    height, width = photo.pixels.shape[2:]
    scale = min(1.0, SEARCHED_SIDE / max(height, width))
    small = _resize(photo.pixels, *(max(SMALLEST_SIDE, round(side * scale)) for side in (height, width)))
    mask = F.interpolate(masker(small).foreground, (height, width), mode="bilinear", align_corners=False)
    if float((mask > 0.5).float().mean()) < SMALLEST_SHARE:
        raise GanverseError(
            f"expected an object covering at least 2 % of {photo.name}, found none; crop the photo closer"
        )
    return masked_object(photo, mask)


def masked_object(photo: Photo, mask: Float[Tensor, "1 1 height width"]) -> FoundObject:
    """The object of a non-empty mask."""
    return FoundObject(photo, mask, bounding_square(mask[0, 0] > 0.5, FILL, FILL))


def bounding_square(mask: Bool[Tensor, "height width"], tallest: float, widest: float) -> Box:
    """Square around the object's bounding box, which takes at most the given shares of its height and width."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, bottom, left, right = (int(edge) for edge in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    side = max(1, round(max((bottom - top) / tallest, (right - left) / widest)))
    return Box((left + right - side) // 2, (top + bottom - side) // 2, side)


def crop(photo: Float[Tensor, "1 c height width"], box: Box, size: int) -> Float[Tensor, "1 c size size"]:
    """The square, scaled to `size` pixels; the photo's border is repeated outside."""
    height, width = photo.shape[2:]
    rows = torch.arange(box.top, box.top + box.side, device=photo.device).clamp(0, height - 1)
    columns = torch.arange(box.left, box.left + box.side, device=photo.device).clamp(0, width - 1)
    return _resize(photo[:, :, rows][:, :, :, columns], size, size)


def _resize(images: Float[Tensor, "1 c _ _"], height: int, width: int) -> Float[Tensor, "1 c height width"]:
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
