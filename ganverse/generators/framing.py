"""A generator's pictures as networks take them: square, of a chosen size, nothing stretched."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator


class LetterboxGenerator(nn.Module):
    """Puts pictures that are not square between black bars, and scales them down to `resolution` pixels a side.

    The bars are exactly black, whatever the network painted there (`StyleBasedConfig.crop`). All else is the
    generator's own.
    """

    def __init__(self, generator: ImageGenerator, resolution: int) -> None:
        super().__init__()
        self.generator = generator
        self.resolution = resolution
        self.z_dim = generator.z_dim
        self.style_sizes = generator.style_sizes
        self.view_layers = generator.view_layers

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Those of the generator inside."""
        return self.generator.noise_shapes

    def map(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        """Latent codes to intermediate codes w."""
        return self.generator.map(z)

    def styles(
        self, w: Float[Tensor, "batch w_dim"] | Float[Tensor, "batch layers w_dim"]
    ) -> Float[Tensor, "batch styles"]:
        """Codes w to w*."""
        return self.generator.styles(w)

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 side side"]:
        """w* to square images in [0, 1]."""
        seen = self.generator.synthesize(styles, noise)
        side = self.generator.resolution
        height, width = side - seen.shape[2], side - seen.shape[3]
        square = F.pad(seen, (width // 2, width - width // 2, height // 2, height - height // 2))
        if side == self.resolution:
            return square
        size = (self.resolution, self.resolution)
        return F.interpolate(square, size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def framed(generator: ImageGenerator, resolution: int | None = None) -> ImageGenerator:
    """`generator` itself where its pictures are square and of `resolution` (None: its own), else in a frame.

    Raises:
        GanverseError: a resolution above the generator's.
    """
    wanted = resolution or generator.resolution
    if not 1 <= wanted <= generator.resolution:
        raise GanverseError(
            f"expected a picture size between 1 and the generator's {generator.resolution} pixels, got {wanted}"
        )
    config = getattr(generator, "config", None)
    if wanted == generator.resolution and getattr(config, "crop", None) is None:
        return generator
    return LetterboxGenerator(generator, wanted).eval().requires_grad_(False)
