"""The inverse graphics network f of stage 2: one picture -> shape, texture, camera and, if wanted, light (paper, 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh, mirror_pairs, sphere_template
from ganverse.geometry.regularity import low_pass
from ganverse.inverse.encoder import ImageEncoder
from ganverse.inverse.texture_head import FlowStart, TextureHead
from ganverse.rendering.shading import ambient_light

# A step of Adam moves an output of a wide linear layer by hundreds of learning rates: too far for vertices or cameras.
_SHAPE_GAIN, _CAMERA_GAIN = 0.05, 0.1


@dataclass(frozen=True)
class InverseNetworkConfig:
    """Everything needed to build the network again.

    resolution: pixels per side of the input. smoothing: strength of the displacement's `low_pass`. axes: half-axes
    (x, y, z) of the start ellipsoid, world units; take them near the size of the category's objects, since silhouettes
    only pull from outside. symmetric: mirror symmetry of shape and texture in x, a property of the category. light:
    nine spherical-harmonic numbers per picture (weak on realistic pictures, so off as in the paper's main model).
    camera_distance: start of the predicted camera.
    unshuffle, channels, latent: see `ImageEncoder`. texture_size, texture_channels, flow_start, paints: see
    `TextureHead`.
    """

    resolution: int = 64
    subdivisions: int = 3
    smoothing: float = 5.0
    axes: tuple[float, float, float] = (0.40, 0.34, 0.98)
    symmetric: bool = True
    light: bool = False
    camera_distance: float = 4.0
    unshuffle: int = 2
    channels: tuple[int, ...] = (48, 96, 160, 256)
    latent: int = 512
    texture_size: int = 128
    texture_channels: tuple[int, ...] = (128, 96, 64, 48)
    flow_start: FlowStart = "projection"
    paints: int = 4

    def __post_init__(self) -> None:
        step = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.resolution % step or self.resolution // step < 2:
            raise GanverseError(
                f"expected a resolution that is a multiple of {step} and at least {2 * step} for {len(self.channels)}"
                f" levels and unshuffle {self.unshuffle}, got {self.resolution}: change the levels in `channels`"
            )


DEFAULT_NETWORK = InverseNetworkConfig()


@dataclass(frozen=True)
class Reconstruction:
    """What the network sees in a batch of pictures.

    displacement: of every template vertex from the start ellipsoid, world frame. vertices: ellipsoid + displacement.
    texture: UV image in [0, 1], row 0 at v = 1. light: spherical harmonics (see rendering.shading), None = unlit.
    camera: predicted camera of the picture itself.
    """

    displacement: Float[Tensor, "batch verts 3"]
    vertices: Float[Tensor, "batch verts 3"]
    texture: Float[Tensor, "batch 3 tex tex"]
    light: Float[Tensor, "batch 9"] | None
    camera: Cameras

    def repeat_interleave(self, repeats: int) -> Reconstruction:
        """Every reconstruction `repeats` times in a row (one copy per camera)."""
        return Reconstruction(
            self.displacement.repeat_interleave(repeats, dim=0),
            self.vertices.repeat_interleave(repeats, dim=0),
            self.texture.repeat_interleave(repeats, dim=0),
            None if self.light is None else self.light.repeat_interleave(repeats, dim=0),
            self.camera.repeat_interleave(repeats),
        )


class InverseGraphicsNetwork(nn.Module):
    """f(I) -> (S, T): DIB-R's sphere template deformed, textured through one square UV chart."""

    start: Tensor
    pairs: Tensor
    smooth: Tensor

    def __init__(self, config: InverseNetworkConfig = DEFAULT_NETWORK) -> None:
        super().__init__()
        self.config = config
        sphere = sphere_template(config.subdivisions)
        self._template = replace(sphere, vertices=sphere.vertices * torch.tensor(config.axes))
        vertices = self._template.vertices[0]
        self.register_buffer("start", vertices, persistent=False)
        self.register_buffer("pairs", mirror_pairs(vertices), persistent=False)
        self.register_buffer("smooth", low_pass(sphere.faces, config.smoothing), persistent=False)
        self.mean_shape = nn.Parameter(torch.zeros_like(vertices))
        self.encoder = ImageEncoder(config.resolution, config.channels, config.unshuffle, config.latent)
        self.shape = _zero_linear(config.latent, vertices.numel())
        self.camera = CameraHead(config.latent, config.camera_distance)
        self.light = _zero_linear(config.latent, 9) if config.light else None
        self.texture = TextureHead(
            self._template,
            latent=config.latent,
            image_features=config.channels[0],
            size=config.texture_size,
            channels=config.texture_channels,
            flow_start=config.flow_start,
            symmetric=config.symmetric,
            paints=config.paints,
        )

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all objects share (mean shape, texel biases): few numbers that may learn faster than the rest."""
        return [self.mean_shape, self.texture.decoder.bias]

    @property
    def template(self) -> Mesh:
        """The start ellipsoid with its faces and UV chart, a batch of one, on the network's device."""
        return self._template.to(self.start.device)

    def mesh(self, reconstruction: Reconstruction) -> Mesh:
        """The reconstructed meshes, world frame."""
        return self.template.with_vertices(reconstruction.vertices)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Reconstruction:
        """Reconstruct pictures in [0, 1] of the configured resolution.

        Raises:
            GanverseError: pictures of another size.
        """
        size = self.config.resolution
        if image.shape[-2:] != (size, size):
            height, width = image.shape[-2:]
            raise GanverseError(f"expected pictures of {size} x {size}, got {height} x {width}: resize them first")
        features, latent = self.encoder(image)
        maps = self.texture.decoder(latent)
        # Geometry needs float32, also where the convolutions run in bfloat16.
        with torch.autocast(image.device.type, enabled=False):
            image, features, latent, maps = (_full(x) for x in (image, features, latent, maps))
            displacement = self._displacement(latent)
            vertices = self.start + displacement
            camera = self.camera(latent)
            texture = self.texture(maps, image, features, vertices, camera)
            light = None if self.light is None else self.light(latent) + ambient_light(len(image), image.device)
        return Reconstruction(displacement, vertices, texture, light, camera)

    def _displacement(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch verts 3"]:
        rough = self.mean_shape + _SHAPE_GAIN * self.shape(latent).view(len(latent), -1, 3)
        # As one matrix product: a batched one with three columns each takes half of a step at 2562 vertices.
        free = torch.einsum("vw,bwc->bvc", self.smooth, rough)
        if not self.config.symmetric:
            return free
        mirrored = free[:, self.pairs] * free.new_tensor([-1.0, 1.0, 1.0])
        return (free + mirrored) / 2


class CameraHead(nn.Module):
    """Latent vector -> camera of the picture; starts at azimuth 0, elevation 0 and the given distance."""

    start: Tensor

    def __init__(self, latent: int, distance: float) -> None:
        super().__init__()
        self.linear = _zero_linear(latent, 6)
        self.register_buffer("start", torch.tensor([0.0, 1.0, 0.0, math.log(distance), 0.0, 0.0]), persistent=False)

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Cameras:
        sine, cosine, elevation, log_distance, x, y = (self.start + _CAMERA_GAIN * self.linear(latent)).unbind(dim=1)
        # Elevation stays below the pole, the distance outside the object.
        distance = log_distance.clamp(0.4, 4.0).exp()
        return Cameras(torch.atan2(sine, cosine), 1.4 * elevation.tanh(), distance, torch.stack([x, y], dim=-1))


def _full(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Half precision becomes float32."""
    return values if values.dtype == torch.float64 else values.float()


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero output, but learns from the first step."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
