"""The car world behind the `ImageGenerator` protocol: a perfect, labeled multi-view source.

It is the upper bound for all GAN-trained networks (the oracle), and a fast fixture for the tests. Its styles are the
scene itself: layer 0 is the view (azimuth as sine and cosine, elevation, log distance factor), layer 1 the content
(numbers in [0, 1], see `cars.build_cars` and `scene.surroundings`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.geometry.cameras import Cameras
from ganverse.random_streams import latents
from ganverse.worlds.cars import CONTENT_DIMS, Cars, build_cars
from ganverse.worlds.scene import framing_distance, render_cars, surroundings

VIEW_DIMS = 4
MAX_ELEVATION_DEGREES = 25.0


class CarWorldGenerator:
    """`ImageGenerator` of the car world. resolution: any image size in pixels."""

    z_dim = VIEW_DIMS + CONTENT_DIMS
    style_sizes: tuple[int, ...] = (VIEW_DIMS, CONTENT_DIMS)
    view_layers = 1
    noise_shapes: tuple[tuple[int, int], ...] = ()

    def __init__(self, resolution: int = 64, supersampling: int = 2) -> None:
        self.resolution = resolution
        self.supersampling = supersampling
        self.image_size = (resolution, resolution)

    def map(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
        """Latents -> uniform numbers; the view's first two stay normal (their angle is uniform)."""
        uniform = torch.special.ndtr(z)
        return torch.cat([z[:, :2], uniform[:, 2:]], dim=1)

    def styles(self, w: Float[Tensor, "batch z"] | Float[Tensor, "batch layers z"]) -> Float[Tensor, "batch styles"]:
        """w* = (sin az, cos az, elevation / maximum, log distance factor, content...)."""
        view, content = (w, w) if w.dim() == 2 else (w[:, 0], w[:, 1])
        direction = torch.nn.functional.normalize(view[:, :2], dim=1)
        distance = (view[:, 3:4] - 0.5) * 0.08
        return torch.cat([direction, view[:, 2:3], distance, content[:, VIEW_DIMS:]], dim=1)

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        """Images in [0, 1]; the car world has no noise."""
        return self.render_truth(styles)[0]

    def render_truth(
        self, styles: Float[Tensor, "batch styles"]
    ) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 height width"], Cameras]:
        """Images, exact coverage masks and true cameras."""
        content, cameras = styles[:, VIEW_DIMS:], self.cameras(styles)
        images, masks = render_cars(
            build_cars(content), surroundings(content), cameras, self.resolution, supersampling=self.supersampling
        )
        return images, masks, cameras

    def cameras(self, styles: Float[Tensor, "batch styles"]) -> Cameras:
        """The camera of each style vector."""
        azimuth = torch.atan2(styles[:, 0], styles[:, 1])
        elevation = torch.deg2rad(styles[:, 2] * MAX_ELEVATION_DEGREES)
        distance = framing_distance(azimuth, elevation) * styles[:, 3].exp()
        return Cameras(azimuth, elevation, distance, styles.new_zeros(len(styles), 2))

    def cars(self, styles: Float[Tensor, "batch styles"]) -> Cars:
        """The 3D truth: closed meshes (see `geometry.voxels.voxelize` for occupancy), colors, body types."""
        return build_cars(styles[:, VIEW_DIMS:])


def world_samples(
    seed: int, indices: Int[Tensor, " batch"], generator: CarWorldGenerator
) -> tuple[Float[Tensor, "batch styles"], Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 height width"]]:
    """Sample i of the car world (random car, random camera): a pure function of (seed, i)."""
    styles = generator.styles(generator.map(latents(seed, indices, generator.z_dim)))
    images, masks, _ = generator.render_truth(styles)
    return styles, images, masks
