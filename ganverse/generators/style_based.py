"""What StyleGAN1 and StyleGAN2 share: the mapping, the average of w, truncation, noise, the visible part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.equalized import EqualLinear
from ganverse.generators.mapping import MappingNetwork
from ganverse.generators.protocol import style_slices

NoiseMode = Literal["constant", "random", "none"]


@dataclass(frozen=True)
class StyleBasedConfig:
    """Architecture of a generator that was trained elsewhere, and how its pictures are taken.

    channels: one count for each of 4, 8, ... `resolution` px. view_layers: first layers that carry the viewpoint.
    noise: "constant" uses the planes stored with the weights, always the same; "random" lets the caller of `synthesize`
    give planes and paints without any otherwise; "none" never has any.
    truncation: psi of `map` where the caller names none; 1 leaves w alone.
    crop: (height, width) of the visible center, for pictures that were letterboxed into a square; None shows all.
    """

    resolution: int
    z_dim: int
    w_dim: int
    mapping_layers: int
    channels: tuple[int, ...]
    view_layers: int = 4
    noise: NoiseMode = "constant"
    truncation: float = 1.0
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or self.resolution != 4 * 2 ** (len(self.channels) - 1):
            raise GanverseError(
                f"expected one channel count for each of 4, 8, ... {self.resolution} px, got {len(self.channels)}"
            )
        if not 0 <= self.view_layers <= self.layers:
            raise GanverseError(f"expected 0 to {self.layers} view layers, got {self.view_layers}")
        if self.noise not in ("constant", "random", "none"):
            raise GanverseError(f"expected noise constant, random or none, got {self.noise!r}")
        if self.crop is not None and not all(0 < side <= self.resolution for side in self.crop):
            raise GanverseError(
                f"expected a crop within {self.resolution} x {self.resolution}, got {self.crop[1]} x {self.crop[0]}"
            )

    @property
    def layers(self) -> int:
        """Number of layers of the W+ convention: 2 log2(resolution) - 2."""
        return 2 * len(self.channels)


class StyledLayer(nn.Module, ABC):
    """A layer that takes `style_size` numbers of w*, made from w by its `affine` map."""

    affine: EqualLinear
    style_size: int


class StyleBasedGenerator(nn.Module, ABC):
    """Implements `ImageGenerator` around `layers` and `colors`, which the architectures define."""

    w_average: Tensor
    style_sizes: tuple[int, ...]

    def __init__(self, config: StyleBasedConfig, noise_sides: Sequence[int], *, amplify_bias: bool) -> None:
        super().__init__()
        self.config = config
        self.resolution = config.resolution
        self.z_dim = config.z_dim
        self.view_layers = config.view_layers
        self.mapping = MappingNetwork(config.z_dim, config.w_dim, config.mapping_layers, amplify_bias=amplify_bias)
        self.register_buffer("w_average", torch.zeros(config.w_dim))
        for k, side in enumerate(noise_sides):
            self.register_buffer(f"noise_{k}", torch.randn(1, 1, side, side))
        self._noise_count = len(noise_sides)

    @abstractmethod
    def layers(self) -> list[list[StyledLayer]]:
        """The styled modules of every W+ layer, in the order of w*."""

    @abstractmethod
    def colors(
        self, styles: Sequence[Float[Tensor, "batch _"]], noise: Sequence[Float[Tensor, "#batch 1 _ _"] | None]
    ) -> Float[Tensor, "batch 3 side side"]:
        """Un-bounded colors, nominally [-1, 1], of the whole square; one style per styled module."""

    @property
    def noise_planes(self) -> list[Float[Tensor, "1 1 _ _"]]:
        """The stored noise of every convolution."""
        return [self.get_buffer(f"noise_{k}") for k in range(self._noise_count)]

    def sizes(self) -> tuple[int, ...]:
        """Styles of each W+ layer; what `style_sizes` is set to once the layers exist."""
        return tuple(sum(module.style_size for module in layer) for layer in self.layers())

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the planes which the caller of `synthesize` is to draw; empty unless noise is "random"."""
        if self.config.noise != "random":
            return ()
        return tuple((plane.shape[2], plane.shape[3]) for plane in self.noise_planes)

    def map(self, z: Float[Tensor, "batch z_dim"], truncation: float | None = None) -> Float[Tensor, "batch w_dim"]:
        """Latents to w; truncation < 1 (None: the configuration's) pulls w towards its average (StyleGAN, app. B)."""
        w: Tensor = self.mapping(z)
        psi = self.config.truncation if truncation is None else truncation
        return w if psi == 1.0 else torch.lerp(self.w_average, w, psi)

    def truncate(self, w: Float[Tensor, "batch w_dim"], psi: float, layers: int) -> Float[Tensor, "batch layers w_dim"]:
        """One code per layer, the first `layers` of them pulled towards the average: StyleGAN1's way (psi 0.7, 8)."""
        pulled = torch.lerp(self.w_average, w, psi)
        return torch.stack([pulled if k < layers else w for k in range(self.config.layers)], dim=1)

    def styles(
        self, w: Float[Tensor, "batch w_dim"] | Float[Tensor, "batch layers w_dim"]
    ) -> Float[Tensor, "batch styles"]:
        """Codes w, one for all layers or one per layer, to flat styles w*."""
        parts = [
            module.affine(w if w.dim() == 2 else w[:, k]) for k, layer in enumerate(self.layers()) for module in layer
        ]
        return torch.cat(parts, dim=1)

    def paint(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """Un-bounded colors, nominally [-1, 1], of the visible part; noise as in `synthesize`."""
        sizes = [module.style_size for layer in self.layers() for module in layer]
        planes: Sequence[Tensor | None] = noise or [None] * self._noise_count
        if not noise and self.config.noise == "constant":
            planes = self.noise_planes
        return _center(self.colors([styles[:, where] for where in style_slices(sizes)], planes), self.config.crop)

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Float[Tensor, "#batch 1 _ _"]] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1] from flat styles w*, cropped to the visible part.

        Without `noise` the result is deterministic: with the stored planes where noise is "constant", else with none.
        """
        return (self.paint(styles, noise) * 0.5 + 0.5).clamp(0.0, 1.0)

    @torch.no_grad()
    def estimate_average(self, count: int = 10_000) -> None:
        """Sets the average of w from `count` latents drawn with seed 0, for files that do not hold it."""
        source = torch.Generator().manual_seed(0)
        z = torch.randn(count, self.z_dim, generator=source).to(self.w_average)
        self.w_average.copy_(self.mapping(z).mean(dim=0))


def _center(image: Tensor, crop: tuple[int, int] | None) -> Tensor:
    if crop is None:
        return image
    top, left = ((whole - part) // 2 for whole, part in zip(image.shape[2:], crop, strict=True))
    return image[:, :, top : top + crop[0], left : left + crop[1]]
