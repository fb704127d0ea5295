"""What the rest of ganverse expects of an image GAN."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class ImageGenerator(Protocol):
    """A frozen or trainable image GAN with per-layer styles.

    `w*` is the flat vector of all post-affine styles, layer after layer; `style_sizes` holds one length per layer.
    `view_layers` is the number of first layers that carry the viewpoint.
    """

    resolution: int
    z_dim: int
    style_sizes: tuple[int, ...]
    view_layers: int

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every noise input, in the order in which `synthesize` takes them."""
        ...

    def map(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        """Latent codes (standard normal) to intermediate codes w."""
        ...

    def styles(
        self, w: Float[Tensor, "batch w_dim"] | Float[Tensor, "batch layers w_dim"]
    ) -> Float[Tensor, "batch styles"]:
        """Codes w (one for all layers or one per layer) to the flat style vector w*."""
        ...

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """Styles w* to images in [0, 1]; without noise the result is deterministic."""
        ...


def style_slices(style_sizes: Sequence[int]) -> list[slice]:
    """Where each layer lies in the flat w* vector."""
    ends = list(accumulate(style_sizes))
    return [slice(end - size, end) for end, size in zip(ends, style_sizes, strict=True)]
