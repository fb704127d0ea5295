"""The interface of image GANs, and wrappers that preserve it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Latents = Float[Tensor, "batch z_dim"]
"""Latent codes z, standard normal."""
W = Float[Tensor, "batch w_dim"]
Codes = Float[Tensor, "batch w_dim"] | Float[Tensor, "batch layers w_dim"]
"""Intermediate codes w, one for all layers or one per layer."""
Styles = Float[Tensor, "batch styles"]
"""The flat vector w* of all post-affine styles, layer after layer."""
Noise = Sequence[Float[Tensor, "#batch 1 _ _"]] | None
"""Standard normal planes, of the generator's `noise_shapes`."""
Images = Float[Tensor, "batch 3 height width"]


@runtime_checkable
class ImageGenerator(Protocol):
    """A frozen or trainable image GAN with per-layer styles.

    `style_sizes`: length of each layer's part of w*. `view_layers`: number of first layers that carry the viewpoint.
    `resolution`: size in pixels of the square that the network synthesizes; `image_size`: size of the images, which may
    be the center of the square.
    """

    resolution: int
    z_dim: int
    style_sizes: tuple[int, ...]
    view_layers: int

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        ...

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every noise input, in the order of `synthesize`."""
        ...

    def map(self, z: Latents) -> W:
        """Latent codes to intermediate codes w."""
        ...

    def styles(self, w: Codes) -> Styles:
        """Codes w to w*."""
        ...

    def synthesize(self, styles: Styles, noise: Noise = None) -> Images:
        """w* to images in [0, 1]; without noise the result is deterministic."""
        ...


class GeneratorWrapper(nn.Module):
    """An `ImageGenerator` around another one, `generator`, which does everything that the wrapper does not define."""

    def __init__(self, generator: ImageGenerator) -> None:
        super().__init__()
        self.generator = generator
        self.resolution = generator.resolution
        self.z_dim = generator.z_dim
        self.style_sizes = generator.style_sizes
        self.view_layers = generator.view_layers

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.generator.image_size

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Noise shapes of the inner generator."""
        return self.generator.noise_shapes

    def map(self, z: Latents) -> W:
        """Latent codes to intermediate codes w."""
        return self.generator.map(z)

    def styles(self, w: Codes) -> Styles:
        """Codes w to w*."""
        return self.generator.styles(w)

    def synthesize(self, styles: Styles, noise: Noise = None) -> Images:
        """w* to images in [0, 1]."""
        return self.generator.synthesize(styles, noise)


class SubspaceGenerator(GeneratorWrapper):
    """Prepends coordinates of a subspace to w*: w*' = (c, w*) with c = read^T w*.

    `synthesize` uses w* + write (c - read^T w*), which is w* with its coordinates set to c. A view code can then
    replace whole layers of w* while c, which is not among its dimensions, stays with the object. `styles` returns w*
    with its coordinates set to zero, so that equal remainders are equal numbers.

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
        super().__init__(generator)
        self.register_buffer("read", read)
        self.register_buffer("write", write)
        self.view_layers = generator.view_layers + 1
        self.style_sizes = (read.shape[1], *generator.style_sizes)

    def styles(self, w: Codes) -> Styles:
        """Codes w to (coordinates, w*)."""
        styles = self.generator.styles(w)
        coordinates = styles @ self.read
        return torch.cat([coordinates, styles - coordinates @ self.write.T], dim=1)

    def synthesize(self, styles: Styles, noise: Noise = None) -> Images:
        """(coordinates, w*) to images in [0, 1]."""
        return self.generator.synthesize(self.plain_styles(styles), noise)

    def plain_styles(self, styles: Styles) -> Float[Tensor, "batch plain_styles"]:
        """The inner generator's w* for these styles."""
        coordinates, plain = styles.split([self.read.shape[1], self.read.shape[0]], dim=1)
        return plain + (coordinates - plain @ self.read) @ self.write.T


def style_slices(style_sizes: Sequence[int]) -> list[slice]:
    """Slices of the flat w* vector, one per layer."""
    ends = list(accumulate(style_sizes))
    return [slice(end - size, end) for end, size in zip(ends, style_sizes, strict=True)]
