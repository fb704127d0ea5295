"""Letterboxing between a generator's images of any aspect ratio and networks that take squares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.protocol import GeneratorWrapper, ImageGenerator, Images, Noise, Styles


@dataclass(frozen=True)
class Framing:
    """Letterboxing: scales images down to fit a square, then pads them with exactly black bars.

    `apply` is differentiable and takes anything on the pixel grid: colors, masks, features. `invert` maps squares back
    to the images' aspect ratio and size. Images are never enlarged: one smaller than the square is centered in it.
    Square images of the right size stay unchanged.

    height, width: of the images in pixels. resolution: of the square in pixels.
    """

    height: int
    width: int
    resolution: int

    @property
    def scale(self) -> float:
        """Pixels of the square per image pixel; at most 1."""
        return min(1.0, self.resolution / max(self.height, self.width))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the area between the bars."""
        return max(1, round(self.height * self.scale)), max(1, round(self.width * self.scale))

    @property
    def offset(self) -> tuple[int, int]:
        """(top, left) of that area; the opposite bars may be one pixel thicker."""
        height, width = self.size
        return (self.resolution - height) // 2, (self.resolution - width) // 2

    @property
    def full(self) -> Framing:
        """The same frame at the images' scale, without downscaling."""
        return Framing(self.height, self.width, max(self.resolution, self.height, self.width))

    def apply(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels resolution resolution"]:
        """Frames images or masks in [0, 1]; the bars are exactly 0."""
        if images.shape[2:] != (self.height, self.width):
            raise GanverseError(
                f"expected images of {self.width} x {self.height} pixels, got {images.shape[3]} x {images.shape[2]}"
            )
        if self.scale < 1.0:
            full = images.to(torch.promote_types(images.dtype, torch.float32))  # the CPU cannot filter half precision
            images = F.interpolate(full, self.size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
        return self.pad(images)  # after scaling; otherwise the filter would mix the image into the bars

    def pad(
        self, inside: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels resolution resolution"]:
        """Inverse of `crop`: adds the bars."""
        (top, left), (height, width) = self.offset, self.size
        return F.pad(inside, (left, self.resolution - width - left, top, self.resolution - height - top))

    def crop(
        self, squares: Float[Tensor, "batch channels resolution resolution"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The area between the bars, at the square's resolution."""
        (top, left), (height, width) = self.offset, self.size
        return squares[:, :, top : top + height, left : left + width]

    def blacken(
        self, squares: Float[Tensor, "batch channels resolution resolution"]
    ) -> Float[Tensor, "batch channels resolution resolution"]:
        """Covers the bars' area of other squares, such as photos, with black."""
        return self.pad(self.crop(squares))

    def invert(
        self, squares: Float[Tensor, "batch channels resolution resolution"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Removes the bars and enlarges (bilinearly) to the images' size."""
        seen = self.crop(squares)
        if self.scale == 1.0:
            return seen
        return F.interpolate(seen, (self.height, self.width), mode="bilinear", align_corners=False)


class LetterboxGenerator(GeneratorWrapper):
    """A generator with letterboxed square images of `framing.resolution` pixels."""

    def __init__(self, generator: ImageGenerator, resolution: int) -> None:
        super().__init__(generator)
        self.resolution = resolution
        self.framing = Framing(*generator.image_size, resolution)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels: equal."""
        return self.resolution, self.resolution

    def synthesize(self, styles: Styles, noise: Noise = None) -> Images:
        """w* to square images in [0, 1]."""
        return self.framing.apply(self.generator.synthesize(styles, noise))


def framed(generator: ImageGenerator, resolution: int | None = None) -> ImageGenerator:
    """`generator` itself if its images are square and of `resolution` (None: its own), otherwise letterboxed.

    Raises:
        GanverseError: a resolution above the generator's.
    """
    side = resolution or generator.resolution
    if not 1 <= side <= generator.resolution:
        raise GanverseError(
            f"expected an image size between 1 and the generator's {generator.resolution} pixels, got {side}"
        )
    if generator.image_size == (side, side):
        return generator
    return LetterboxGenerator(generator, side).eval().requires_grad_(False)


def unframed(generator: ImageGenerator) -> tuple[ImageGenerator, Framing]:
    """Undoes `framed`: the generator with images of its own size, and their framing."""
    if isinstance(generator, LetterboxGenerator):
        return generator.generator, generator.framing
    return generator, Framing(*generator.image_size, max(generator.image_size))
