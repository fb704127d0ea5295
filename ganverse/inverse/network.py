"""The inverse graphics network f: one image -> shape, texture, camera and optionally light (paper, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ganverse.errors import GanverseError, check_ranges
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh, mirror_pairs, sphere_template
from ganverse.geometry.regularizers import Adjacency, low_pass
from ganverse.inverse.encoder import ImageEncoder
from ganverse.inverse.texture_head import TextureHead
from ganverse.rendering import ambient_light

# One Adam step moves an output of a wide linear layer by hundreds of learning rates: too far for vertices or cameras.
_SHAPE_GAIN, _CAMERA_GAIN = 0.05, 0.1
_RANGES = {
    "resolution": (4, 4096),
    "subdivisions": (0, 5),
    "smoothing": (0.0, 1000.0),
    "unshuffle": (1, 64),
    "latent": (1, 65536),
    "texture_size": (4, 4096),
    "palette": (1, 64),
}


@dataclass(frozen=True)
class InverseNetworkConfig:
    """Configuration from which the network is built."""

    resolution: int = 64
    """Size of the input images in pixels."""
    subdivisions: int = 3
    """Icosphere subdivisions: 3 gives 642 vertices (paper), 4 gives 2562."""
    smoothing: float = 5.0
    """Strength of the low-pass filter on the displacement; 0 disables it."""
    axes: tuple[float, float, float] = (0.40, 0.34, 0.98)
    """Half-axes (x, y, z) of the initial ellipsoid in world units. Choose them near the category's object size, because
    silhouettes pull from outside only."""
    symmetric: bool = True
    """Whether shape and texture are mirror-symmetric in x, a property of the category."""
    light: bool = False
    """Whether to predict nine spherical-harmonics coefficients of light per image; off in the paper's main model."""
    camera_distance: float = 4.0
    """Initial camera distance in world units."""
    unshuffle: int = 2
    """Pixels per side folded into channels before the encoder's first level."""
    channels: tuple[int, ...] = (48, 96, 160, 256)
    """Channels per encoder level from fine to coarse, multiples of 8; each level halves the size."""
    latent: int = 512
    """Length of the latent vector."""
    texture_size: int = 128
    """Texture size in texels, a power of two."""
    texture_channels: tuple[int, ...] = (128, 96, 64, 48)
    """Channels per level of the texture decoder, starting at 4 x 4, multiples of 8; each level doubles the size."""
    palette: int = 4
    """Number of palette colors per object, which hidden texels mix (see `texture_head`)."""

    def __post_init__(self) -> None:
        check_ranges(self, **_RANGES)
        if not (1 <= len(self.channels) <= 12 and 1 <= len(self.texture_channels) <= 12):
            raise GanverseError("expected 1 to 12 levels in channels and in texture_channels")
        step = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.resolution % step or self.resolution // step < 2:
            raise GanverseError(
                f"expected a resolution that is a multiple of {step} and at least {2 * step} for {len(self.channels)}"
                f" levels and unshuffle {self.unshuffle}, got {self.resolution}; change the levels in `channels`"
            )
        if any(count % 8 for count in (*self.channels, *self.texture_channels)):
            raise GanverseError(
                f"expected channels and texture_channels in multiples of 8, got {self.channels} and "
                f"{self.texture_channels}"
            )
        if not 0 < min(self.axes) <= max(self.axes) < self.camera_distance < 1e3:
            raise GanverseError(
                f"expected positive axes and a camera_distance beyond them, got {self.axes} and {self.camera_distance}"
            )


DEFAULT_NETWORK = InverseNetworkConfig()


@dataclass(frozen=True)
class Reconstruction:
    """Prediction of the network for a batch of images.

    displacement: of every template vertex from the initial ellipsoid, world frame. vertices: ellipsoid + displacement.
    texture: UV image in [0, 1], row 0 at v = 1. light: see `rendering.spherical_harmonics`, None = unlit. camera: of
    the image.
    """

    displacement: Float[Tensor, "batch verts 3"]
    vertices: Float[Tensor, "batch verts 3"]
    texture: Float[Tensor, "batch 3 tex tex"]
    light: Float[Tensor, "batch 9"] | None
    camera: Cameras

    def __getitem__(self, rows: slice | Int[Tensor, " rows"]) -> Reconstruction:
        light = None if self.light is None else self.light[rows]
        return Reconstruction(
            self.displacement[rows], self.vertices[rows], self.texture[rows], light, self.camera[rows]
        )

    def repeat_interleave(self, repeats: int) -> Reconstruction:
        """Repeats every reconstruction `repeats` times in a row (one per camera)."""
        return self[torch.arange(len(self.vertices), device=self.vertices.device).repeat_interleave(repeats)]


class InverseGraphicsNetwork(nn.Module):
    """f(I) -> (S, T): deforms DIB-R's sphere template, textured through one square UV chart.

    `forward` takes images [batch, 3, resolution, resolution] in [0, 1] and returns a `Reconstruction`.
    """

    start: Tensor
    faces: Tensor
    face_uvs: Tensor
    edges: Tensor
    edge_faces: Tensor
    degree: Tensor
    pairs: Tensor
    smooth: Tensor
    mirror: Tensor

    def __init__(self, config: InverseNetworkConfig = DEFAULT_NETWORK) -> None:
        super().__init__()
        self.config = config
        sphere = sphere_template(config.subdivisions)
        vertices = sphere.vertices[0] * torch.tensor(config.axes)
        adjacency = Adjacency.build(sphere.faces)
        constants = {
            "start": vertices,
            "faces": sphere.faces,
            "face_uvs": sphere.face_uvs,
            "edges": adjacency.edges,
            "edge_faces": adjacency.edge_faces,
            "degree": adjacency.degree,
            "pairs": mirror_pairs(vertices),
            "smooth": low_pass(sphere.faces, config.smoothing),
            "mirror": torch.tensor([-1.0, 1.0, 1.0]),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.mean_shape = nn.Parameter(torch.zeros_like(vertices))
        self.encoder = ImageEncoder(config.resolution, config.channels, config.unshuffle, config.latent)
        self.shape = _zero_linear(config.latent, vertices.numel())
        self.camera = CameraHead(config.latent, config.camera_distance)
        self.light = _zero_linear(config.latent, 9) if config.light else None
        self.texture = TextureHead(
            self.template,
            latent=config.latent,
            image_features=config.channels[0],
            size=config.texture_size,
            channels=config.texture_channels,
            symmetric=config.symmetric,
            palette=config.palette,
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, device: torch.device | str = "cpu") -> InverseGraphicsNetwork:
        """The frozen network of `source`: "car", a path, a run directory or hf://owner/repository.

        See `ganverse.inverse.weights.load_inverse` for details and errors; it also returns cameras and card.
        """
        from ganverse.inverse.weights import load_inverse  # which imports this module

        return load_inverse(source, device).network

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that all objects share (mean shape, texel biases): few, and they may learn faster."""
        return [self.mean_shape, self.texture.decoder.bias]

    @property
    def template(self) -> Mesh:
        """The initial ellipsoid with faces and UV chart, a batch of one, on the network's device."""
        return Mesh(self.start[None], self.faces, self.face_uvs)

    @property
    def adjacency(self) -> Adjacency:
        """Adjacency of the template, on the network's device."""
        return Adjacency(self.edges, self.edge_faces, self.degree)

    def mesh(self, reconstruction: Reconstruction) -> Mesh:
        """Reconstructed meshes, world frame."""
        return self.template.with_vertices(reconstruction.vertices)

    def azimuth_evidence(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2"]:
        """Unnormalized sine and cosine of the azimuth, from the camera head; the shorter, the less certain."""
        return self.camera.azimuth_evidence(self.encoder(image)[1])

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        camera: Cameras | None = None,
        *,
        paint: Float[Tensor, "batch 3 height width"] | None = None,
    ) -> Reconstruction:
        """Reconstructs images in [0, 1] of the configured resolution.

        camera: of the images, instead of the predicted one. paint: what the texture copies from, instead of the images.

        Raises:
            GanverseError: images of another size.
        """
        size = self.config.resolution
        if image.shape[-2:] != (size, size):
            height, width = image.shape[-2:]
            raise GanverseError(f"expected images of {size} x {size}, got {height} x {width}; resize them first")
        features, latent = self.encoder(image)
        maps = self.texture.decoder(latent)
        # Geometry needs float32, even if the convolutions run in bfloat16.
        with torch.autocast(image.device.type, enabled=False):
            image, features, latent, maps = (_full(x) for x in (image, features, latent, maps))
            displacement = self._displacement(latent)
            vertices = self.start + displacement
            camera = self.camera(latent) if camera is None else camera
            texture = self.texture(maps, image if paint is None else _full(paint), features, vertices, camera)
            light = None if self.light is None else self.light(latent) + ambient_light(len(image), image.device)
        return Reconstruction(displacement, vertices, texture, light, camera)

    def _displacement(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch verts 3"]:
        rough = self.mean_shape + _SHAPE_GAIN * self.shape(latent).view(len(latent), -1, 3)
        # One matrix product: a batched one with three columns each takes half of a step at 2562 vertices.
        free = torch.einsum("vw,bwc->bvc", self.smooth, rough)
        return (free + free[:, self.pairs] * self.mirror) / 2 if self.config.symmetric else free


class CameraHead(nn.Module):
    """Latent vector -> camera of the image; initially azimuth 0, elevation 0 and the given distance."""

    start: Tensor

    def __init__(self, latent: int, distance: float) -> None:
        super().__init__()
        self.linear = _zero_linear(latent, 6)
        self.register_buffer("start", torch.tensor([0.0, 1.0, 0.0, math.log(distance), 0.0, 0.0]), persistent=False)

    def azimuth_evidence(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 2"]:
        """See `InverseGraphicsNetwork.azimuth_evidence`."""
        return (self.start + _CAMERA_GAIN * self.linear(latent))[:, :2]

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Cameras:
        sine, cosine, elevation, log_distance, x, y = (self.start + _CAMERA_GAIN * self.linear(latent)).unbind(dim=1)
        # Keep the elevation below the pole and the distance outside the object.
        distance = log_distance.clamp(0.4, 4.0).exp()
        return Cameras(torch.atan2(sine, cosine), 1.4 * elevation.tanh(), distance, torch.stack([x, y], dim=-1))


def _full(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Converts half precision to float32."""
    return values if values.dtype == torch.float64 else values.float()


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with zero initial output that learns from the first step."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
