"""A generator with a few directions of w* as style dimensions of their own: still an `ImageGenerator`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.generators.protocol import ImageGenerator


class SubspaceGenerator(nn.Module):
    """Puts coordinates in front of w*: w*' = (c, w*) with c = read^T w*; `synthesize` believes c.

    What it paints are the styles w* + write (c - read^T w*): w* with these coordinates set to c, whatever they were. So
    a view code may replace whole layers of w* while c, which is not among its dimensions, stays with the object.
    `styles` hands out w* at coordinates zero, so that equal rests are equal numbers.

    generator: an nn.Module behind `ImageGenerator`. read, write: [styles, directions] with read^T write = 1 (see
    `viewpoints.directions`); buffers, stored with the weights.
    """

    read: Tensor
    write: Tensor

    def __init__(
        self,
        generator: ImageGenerator,
        read: Float[Tensor, "styles directions"],
        write: Float[Tensor, "styles directions"],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("read", read)
        self.register_buffer("write", write)
        self.resolution = generator.resolution
        self.z_dim = generator.z_dim
        self.view_layers = generator.view_layers + 1
        self.style_sizes = (read.shape[1], *generator.style_sizes)

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
        """Codes w to (coordinates, w*)."""
        styles = self.generator.styles(w)
        coordinates = styles @ self.read
        return torch.cat([coordinates, styles - coordinates @ self.write.T], dim=1)

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """(coordinates, w*) to images in [0, 1]."""
        return self.generator.synthesize(self.plain_styles(styles), noise)

    def plain_styles(self, styles: Float[Tensor, "batch styles"]) -> Float[Tensor, "batch plain_styles"]:
        """The w* of the generator inside that these styles stand for."""
        coordinates, plain = styles.split([self.read.shape[1], self.read.shape[0]], dim=1)
        return plain + (coordinates - plain @ self.read) @ self.write.T
