"""Mapping networks of StyleGAN-R and their fusion (paper, section 4): camera, shape, texture, background -> styles.

All outputs are *standardized* styles, which `StyleGANR` scales by the statistics of the generator's own styles, so
that an untrained network already has the right units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, one_hot

from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.geometry.cameras import Cameras

CAMERA_FEATURES = 6
"""sin azimuth, cos azimuth, elevation, log distance, offset x, offset y."""

COARSE = 642
"""Vertices that g_s reads: a three times subdivided icosphere, which comes first in finer templates."""


@dataclass(frozen=True)
class MappingSettings:
    """Sizes of the mapping networks."""

    camera_width: int = 128
    """Hidden width of g_v, which learns from few cameras, and of the heads for view corrections."""
    width: int = 512
    """Hidden width of g_s and of the heads of g_t and g_b."""
    channels: int = 32
    """Channels of the first convolution of g_t and g_b, doubled at each halving up to a factor of four."""
    picture: int = 32
    """Size in pixels (a power of two) to which larger textures and backgrounds are averaged: style codes hold no
    detail, and most of the cost is in the first layers."""
    background_view: bool = True
    """Whether g_b also corrects the view dimensions (see `ImageMapping`); not in the paper."""
    texture_view: bool = True
    """Same as `background_view`, for g_t."""

    def __post_init__(self) -> None:
        check_ranges(self, camera_width=AT_LEAST_1, width=AT_LEAST_1, channels=AT_LEAST_1)
        if self.picture < 8 or self.picture & (self.picture - 1):
            raise GanverseError(f"expected mapping.picture to be a power of two of 8 or more, got {self.picture}")


DEFAULT_MAPPING = MappingSettings()


def camera_features(cameras: Cameras) -> Float[Tensor, "batch 6"]:
    """Input of g_v; the azimuth as sine and cosine, so that it is continuous.

    Distances are logarithms (the paper's scale is the inverse distance). Elevations (radians) and offsets are scaled to
    about unit range for the usual elevations of 0-30 degrees.
    """
    columns = [
        cameras.azimuth.sin(),
        cameras.azimuth.cos(),
        cameras.elevation * 4,
        cameras.distance.log() * 4,
        cameras.offset[:, 0] * 4,
        cameras.offset[:, 1] * 4,
    ]
    return torch.stack(columns, dim=-1)


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """An MLP with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def zero_init(layers: nn.Sequential) -> None:
    """Makes the initial output zero."""
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


class CameraMapping(nn.Module):
    """g_v: camera -> view dimensions; smooth in the camera, also between the view codes.

    Features except azimuth are centered on the mean of the table's cameras (`calibrate`).
    """

    center: Tensor

    def __init__(self, outputs: int, settings: MappingSettings = DEFAULT_MAPPING) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(CAMERA_FEATURES))
        self.layers = mlp(CAMERA_FEATURES, settings.camera_width, outputs)

    @torch.no_grad()
    def calibrate(self, cameras: Cameras) -> None:
        """Centers elevation, distance and offset on the given cameras."""
        self.center[2:] = camera_features(cameras)[:, 2:].mean(dim=0)

    def forward(self, cameras: Cameras) -> Float[Tensor, "batch outputs"]:
        return self.layers(camera_features(cameras) - self.center)


class ShapeMapping(nn.Module):
    """g_s: flattened vertices -> content dimensions; `calibrate` standardizes the vertices.

    Of finer templates it reads only the first `COARSE` vertices, the coarser template's. With four times as many it
    learned faster than the other mapping networks, and the camera lost control of elevation (docs/results.md).

    A second head corrects the view dimensions. In small GANs the coarse layers set both orientation and proportions, so
    a shape that cannot reach them has little effect. The head starts at zero and is trained in stage 2 only, because in
    stage 1's data the view dimensions do not depend on the object.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self, vertices: int, outputs: int, view_outputs: int, settings: MappingSettings = DEFAULT_MAPPING
    ) -> None:
        super().__init__()
        read = min(vertices, COARSE)
        self.register_buffer("center", torch.zeros(read, 3))
        self.register_buffer("scale", torch.ones(()))
        self.layers = mlp(3 * read, settings.width, outputs)
        self.view_layers = mlp(3 * read, settings.camera_width, view_outputs)
        zero_init(self.view_layers)

    @torch.no_grad()
    def calibrate(self, vertices: Float[Tensor, "batch verts 3"]) -> None:
        """Sets the mean shape and the overall spread from a batch of meshes."""
        vertices = vertices[:, : len(self.center)]
        self.center.copy_(vertices.mean(dim=0))
        self.scale.copy_((vertices - self.center).square().mean().sqrt().clamp_min(1e-4))

    def _standard(self, vertices: Float[Tensor, "batch verts 3"]) -> Float[Tensor, "batch numbers"]:
        return ((vertices[:, : len(self.center)] - self.center) / self.scale).flatten(1)

    def forward(self, vertices: Float[Tensor, "batch verts 3"]) -> Float[Tensor, "batch outputs"]:
        return self.layers(self._standard(vertices))

    def view(self, vertices: Float[Tensor, "batch verts 3"]) -> Float[Tensor, "batch view_outputs"]:
        """The shape's correction of the view dimensions."""
        return self.view_layers(self._standard(vertices))


class ImageMapping(nn.Module):
    """g_t and g_b: a small strided CNN on a square image in [0, 1] -> content dimensions.

    The image is reduced to 4 x 4 and flattened, so positions (in the UV chart, in the image) keep their meaning.

    view_outputs: of a second head that corrects the view dimensions, like that of `ShapeMapping`. The coarse layers
    that turn the object also determine most of the background (on the embedded GAN 97 % of the variance of the image
    border), and some of its view codes make every car gray. The head starts at zero and is trained in stage 2 only.
    """

    def __init__(
        self, size: int, outputs: int, settings: MappingSettings = DEFAULT_MAPPING, *, view_outputs: int = 0
    ) -> None:
        super().__init__()
        if size < 8 or size & (size - 1):
            raise GanverseError(f"expected a square image of a power of two >= 8 pixels, got {size}; resize it first")
        self.size = size
        self.factor = max(1, size // settings.picture)
        channels, layers = 3, []
        for level in range(int(math.log2(size // self.factor)) - 2):
            wider = settings.channels * min(2**level, 4)
            layers += [nn.Conv2d(channels, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = wider
        self.convolutions = nn.Sequential(*layers)
        self.head = mlp(16 * channels, settings.width, outputs)
        self.view_head = mlp(16 * channels, settings.camera_width, view_outputs) if view_outputs else None
        if self.view_head is not None:
            zero_init(self.view_head)

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch outputs_and_view_outputs"]:
        """Content values, then corrections of the view dimensions (if that head exists)."""
        if image.shape[-1] != self.size:
            raise GanverseError(f"expected images of {self.size} pixels, got {image.shape[-1]}; resize them first")
        small = avg_pool2d(image, self.factor)
        features = self.convolutions(2 * small - 1).flatten(1)
        content: Tensor = self.head(features)
        return content if self.view_head is None else torch.cat([content, self.view_head(features)], dim=1)


class StyleFusion(nn.Module):
    """content = s_m * z_shape + s_t * z_txt + s_b * z_bck; the three weights of every dimension sum to one.

    The weights are global: a property of the generator, not of a sample. They start at 1/3, and the entropy term drives
    them to one-hot, so that every style dimension ends up with one source.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(3, dimensions))

    @property
    def weights(self) -> Float[Tensor, "3 dims"]:
        """s_m, s_t, s_b, one row each."""
        return self.logits.softmax(dim=0)

    def forward(
        self,
        shape: Float[Tensor, "batch dims"],
        texture: Float[Tensor, "batch dims"],
        background: Float[Tensor, "batch dims"],
    ) -> Float[Tensor, "batch dims"]:
        return torch.einsum("sd,sbd->bd", self.weights, torch.stack([shape, texture, background]))

    def entropy(self) -> Float[Tensor, " dims"]:
        """Entropy in nats of every dimension's weights: log 3 initially, 0 if one-hot."""
        return -(self.weights * self.logits.log_softmax(dim=0)).sum(dim=0)

    def shares(self) -> Float[Tensor, "3"]:
        """Fraction of the dimensions won by shape, texture and background."""
        return one_hot(self.logits.argmax(dim=0), len(self.logits)).float().mean(dim=0)
