"""Common parts of StyleGAN1, 2 and 3: mapping, average of w, truncation, styles, and imported noise and crop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.generators.layers import EqualizedLinear, MappingNetwork
from ganverse.generators.protocol import Codes, Images, Latents, Noise, Styles, W, style_slices

SIDES = tuple(4 << k for k in range(10))
NoiseMode = Literal["constant", "random", "none"]
MAX_WIDTH = 8192
"""Maximum width of latents and features, 16 times the published ones; limits what a hostile file may allocate."""
MAX_FEATURES = 2**26
"""Maximum features of one sample per resolution; twice those of StyleGAN2's config-f at 1024 px."""


@dataclass(frozen=True)
class StyleBasedConfig:
    """Architecture of a style-based generator."""

    resolution: int
    """Image size in pixels: 4, 8, 16, ... 2048."""
    z_dim: int
    """Size of the latent codes z."""
    w_dim: int
    """Size of the intermediate codes w."""
    mapping_layers: int
    """Number of fully connected layers from z to w."""
    channels: tuple[int, ...]
    """Feature channels at 4, 8, ... `resolution` px."""
    view_layers: int = 4
    """Number of first layers that carry the viewpoint."""

    def __post_init__(self) -> None:
        if self.resolution not in SIDES:
            raise GanverseError(f"expected a resolution of 4, 8, ... {SIDES[-1]} px, got {self.resolution}")
        for width in (self.z_dim, self.w_dim, *self.channels):
            if not 1 <= width <= MAX_WIDTH:
                raise GanverseError(f"expected z_dim, w_dim and channels from 1 to {MAX_WIDTH}, got {width}")
        if not 1 <= self.mapping_layers <= 64:
            raise GanverseError(f"expected 1 to 64 mapping layers, got {self.mapping_layers}")
        self.check_channels()
        if not 0 <= self.view_layers <= self.layers:
            raise GanverseError(f"expected 0 to {self.layers} view layers, got {self.view_layers}")

    def check_channels(self) -> None:
        """GanverseError if the number of channel counts does not fit the architecture."""
        if len(self.channels) < 2 or self.resolution != 2 << len(self.channels):
            raise GanverseError(
                f"expected one channel count for each of 4, 8, ... {self.resolution} px, got {len(self.channels)}; "
                "make `channels` and `resolution` agree"
            )
        if max(width * (4 << k) ** 2 for k, width in enumerate(self.channels)) > MAX_FEATURES:
            raise GanverseError(f"expected at most {MAX_FEATURES} features at each resolution, got more")

    @property
    def layers(self) -> int:
        """Number of layers of the W+ convention."""
        return 2 * len(self.channels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.resolution, self.resolution


class StyledLayer(nn.Module, ABC):
    """A layer that takes `style_size` values of w*, computed from w by its `affine` map."""

    affine: EqualizedLinear
    style_size: int


class StyleBasedGenerator(nn.Module, ABC):
    """Implements `ImageGenerator` around `layers` and `synthesize_raw`, which the architectures define.

    `w_average`: the average of w, for truncation. `truncation`: default of `map`.
    """

    config: StyleBasedConfig
    w_average: Tensor
    style_sizes: tuple[int, ...]
    truncation: float = 1.0

    def __init__(self, config: StyleBasedConfig, *, amplify_bias: bool = True) -> None:
        super().__init__()
        self.config = config
        self.resolution = config.resolution
        self.z_dim = config.z_dim
        self.view_layers = config.view_layers
        self.mapping = MappingNetwork(config.z_dim, config.w_dim, config.mapping_layers, amplify_bias=amplify_bias)
        self.register_buffer("w_average", torch.zeros(config.w_dim))

    @abstractmethod
    def layers(self) -> list[list[StyledLayer]]:
        """Styled modules of every W+ layer, in the order of w*."""

    @abstractmethod
    def synthesize_raw(self, styles: Styles, noise: Noise = None) -> Images:
        """Unbounded colors, nominally [-1, 1], from flat styles w*; noise as in `synthesize`."""

    @property
    @abstractmethod
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every noise input, in the order of `synthesize`."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.config.image_size

    def sizes(self) -> tuple[int, ...]:
        """Number of styles per W+ layer, from which `style_sizes` is set once the layers exist."""
        return tuple(sum(module.style_size for module in layer) for layer in self.layers())

    def map(self, z: Latents, truncation: float | None = None) -> W:
        """Latents -> w; truncation < 1 (None: the generator's own) pulls w towards its average (StyleGAN, app. B)."""
        w: Tensor = self.mapping(z)
        psi = self.truncation if truncation is None else truncation
        return w if psi == 1.0 else torch.lerp(self.w_average, w, psi)

    def styles(self, w: Codes) -> Styles:
        """Codes w, one for all layers or one per layer -> flat styles w*."""
        return post_affine(self.layers(), w)

    def synthesize(self, styles: Styles, noise: Noise = None) -> Images:
        """Images in [0, 1] from flat styles w*; without noise the result is deterministic."""
        return (self.synthesize_raw(styles, noise) * 0.5 + 0.5).clamp(0.0, 1.0)

    @torch.no_grad()
    def estimate_average(self, count: int = 10_000) -> None:
        """Sets the average of w from `count` latents drawn with seed 0, for files without it."""
        source = torch.Generator().manual_seed(0)
        z = torch.randn(count, self.z_dim, generator=source).to(self.w_average)
        self.w_average.copy_(self.mapping(z).mean(dim=0))


def post_affine(layers: Sequence[Sequence[StyledLayer]], w: Codes) -> Styles:
    """Concatenated styles of `layers`, from one code w for all layers or one per layer."""
    parts = [module.affine(w if w.dim() == 2 else w[:, k]) for k, layer in enumerate(layers) for module in layer]
    return torch.cat(parts, dim=1)


def layers_of(blocks: Iterable[Any]) -> list[list[StyledLayer]]:
    """W+ layers of StyleGAN2's blocks; a block's colors share a layer with the first convolution of the next block."""
    layers: list[list[StyledLayer]] = [[]]
    for block in blocks:
        if block.conv0 is not None:
            layers[-1].append(block.conv0)
            layers.append([])
        layers[-1].append(block.conv1)
        layers.append([] if block.to_rgb is None else [block.to_rgb])
    return layers


@dataclass(frozen=True)
class ImportedConfig(StyleBasedConfig):
    """Architecture of an imported generator, and how its images are synthesized."""

    noise: NoiseMode = "constant"
    """constant: noise planes stored with the weights; random: planes passed to `synthesize`; none: no noise."""
    truncation: float = 1.0
    """Default psi of `map`; 1 leaves w unchanged."""
    crop: tuple[int, int] | None = None
    """(height, width) of the visible center, for images letterboxed into a square; None shows all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise not in ("constant", "random", "none"):
            raise GanverseError(f"expected noise constant, random or none, got {self.noise!r:.40}")
        if not -2.0 <= self.truncation <= 2.0:
            raise GanverseError(f"expected a truncation from -2 to 2, got {self.truncation}")
        if self.crop is not None and not all(0 < side <= self.resolution for side in self.crop):
            raise GanverseError(
                f"expected a crop within {self.resolution} x {self.resolution}, got {self.crop[1]} x {self.crop[0]}"
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.crop or super().image_size


class ImportedGenerator(StyleBasedGenerator, ABC):
    """An imported generator: its noise planes are stored with the weights, and it may show only its center.

    noise_sides: size of the square noise planes, one for every layer with noise.
    """

    config: ImportedConfig

    def __init__(self, config: ImportedConfig, noise_sides: Sequence[int], *, amplify_bias: bool = True) -> None:
        super().__init__(config, amplify_bias=amplify_bias)
        self.truncation = config.truncation
        for k, side in enumerate(noise_sides):
            self.register_buffer(f"noise_{k}", torch.randn(1, 1, side, side))
        self._noise_count = len(noise_sides)

    @abstractmethod
    def colors(
        self, styles: Sequence[Float[Tensor, "batch _"]], noise: Sequence[Float[Tensor, "#batch 1 _ _"] | None]
    ) -> Float[Tensor, "batch 3 side side"]:
        """Unbounded colors of the whole square, nominally [-1, 1]; one style per styled module."""

    @property
    def noise_planes(self) -> list[Float[Tensor, "1 1 _ _"]]:
        """The stored noise of every convolution."""
        return [self.get_buffer(f"noise_{k}") for k in range(self._noise_count)]

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the planes that callers of `synthesize` draw; empty unless noise is "random"."""
        if self.config.noise != "random":
            return ()
        return tuple((plane.shape[2], plane.shape[3]) for plane in self.noise_planes)

    def synthesize_raw(self, styles: Styles, noise: Noise = None) -> Images:
        """Unbounded colors of the visible part, nominally [-1, 1].

        Deterministic without `noise`: uses the stored planes if noise is "constant", else none.
        """
        sizes = [module.style_size for layer in self.layers() for module in layer]
        planes: Sequence[Tensor | None] = noise or [None] * self._noise_count
        if not noise and self.config.noise == "constant":
            planes = self.noise_planes
        colors = self.colors([styles[:, where] for where in style_slices(sizes)], planes)
        height, width = self.image_size
        top, left = (self.resolution - height) // 2, (self.resolution - width) // 2
        return colors[:, :, top : top + height, left : left + width]
