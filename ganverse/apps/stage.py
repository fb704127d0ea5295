"""What the studio shows: one scene through both renderers, as pictures and as files."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.apps.gallery import Gallery, StudioObject
from ganverse.apps.png import gif, png
from ganverse.errors import GanverseError
from ganverse.export.textured import glb_bytes
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.weights import InverseModel
from ganverse.io import image_grid
from ganverse.neural_renderer.controls import typical_cameras
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.rendering.render import render

ELEVATIONS = (-10.0, 45.0)
SCALES = (0.5, 1.6)
SIDE = 256
"""Pixels of what is shown and downloaded, per renderer."""
_TURNS, _MILLISECONDS = 36, 90


@dataclass(frozen=True)
class Look:
    """A scene: names of the objects that give its parts, and where the camera stands.

    azimuth_degrees, elevation_degrees: as everywhere. scale: 1 is the size at which the generator usually shows an
    object from that side, 2 twice as large (half the distance).
    """

    shape: str
    texture: str
    background: str
    azimuth_degrees: float
    elevation_degrees: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        numbers = (self.azimuth_degrees, self.elevation_degrees, self.scale)
        low, high = ELEVATIONS
        inside = low <= self.elevation_degrees <= high and SCALES[0] <= self.scale <= SCALES[1]
        if not all(map(math.isfinite, numbers)) or not inside:
            raise GanverseError(
                f"expected an elevation in [{low:g}, {high:g}] degrees and a scale in [{SCALES[0]}, {SCALES[1]}], got "
                f"{self.elevation_degrees:g} and {self.scale:g}"
            )


@dataclass(frozen=True)
class Shown:
    """The mesh (DIB-R) over the background, and StyleGAN-R's picture where there is one; `SIDE` pixels each."""

    mesh: Float[Tensor, "frames 3 side side"]
    neural: Float[Tensor, "frames 3 side side"] | None

    def pairs(self) -> Float[Tensor, "frames 3 side width"]:
        """Mesh and neural picture side by side."""
        return self.mesh if self.neural is None else torch.cat([self.mesh, self.neural], dim=3)


class Stage:
    """Both renderers; every method may be called from any thread.

    Raises:
        GanverseError: a StyleGAN-R for other meshes or textures than those of the inverse network.
    """

    def __init__(self, model: InverseModel, gallery: Gallery, renderer: StyleGANR | None) -> None:
        self._model, self._renderer = model, renderer
        self.gallery = gallery
        self._lock = threading.Lock()
        self._table = model.cameras.all()
        if renderer is not None:
            check_renderer(model, renderer)

    @property
    def neural(self) -> bool:
        """Whether there is a StyleGAN-R."""
        return self._renderer is not None

    @property
    def usual_elevation_degrees(self) -> float:
        """The mean elevation of the generator's pictures, within `ELEVATIONS`."""
        return min(max(float(self._table.elevation.mean().rad2deg()), ELEVATIONS[0]), ELEVATIONS[1])

    def sample(self) -> str:
        """Adds the generator's next object to the gallery; its name."""
        with self._lock:
            return self.gallery.sample()

    def add_photo(self, data: bytes) -> str:
        """Adds the object of a photo to the gallery; its name, or GanverseError."""
        with self._lock:
            return self.gallery.add_photo(data)

    def show(self, look: Look) -> Shown:
        """A scene through both renderers."""
        with self._lock:
            return self._frames(look, [look.azimuth_degrees])

    def picture(self, look: Look) -> bytes:
        """`show` as a PNG, side by side."""
        return png(self.show(look).pairs()[0])

    def turntable(self, look: Look) -> bytes:
        """An animated GIF of one turn, side by side."""
        azimuths = [look.azimuth_degrees + 360.0 * turn / _TURNS for turn in range(_TURNS)]
        with self._lock:
            parts = [self._frames(look, azimuths[start : start + 6]).pairs() for start in range(0, _TURNS, 6)]
        return gif(list(torch.cat(parts)), _MILLISECONDS)

    def glb(self, look: Look) -> bytes:
        """The scene's mesh with its texture."""
        with self._lock:
            mesh = self._model.network.mesh(self._part(look.shape).seen)
            return glb_bytes(mesh, self._part(look.texture).seen.texture[0])

    def thumbnail(self, name: str) -> bytes:
        """The picture that an object was read from, as a PNG."""
        return png(image_grid(self._part(name).picture, 1))

    @torch.no_grad()
    def _frames(self, look: Look, azimuths: Sequence[float]) -> Shown:
        cameras = self._cameras(look, azimuths)
        shape, texture, background = (self._part(name) for name in (look.shape, look.texture, look.background))
        count = len(azimuths)
        vertices = shape.seen.vertices.expand(count, -1, -1)
        paint, behind = (x.expand(count, -1, -1, -1) for x in (texture.seen.texture, background.background))
        mesh = self._model.network.template.with_vertices(vertices)
        light = None if texture.seen.light is None else texture.seen.light.expand(count, -1)
        drawn = render(mesh, paint, cameras, light, 2 * SIDE)
        covered = F.avg_pool2d((drawn.face_index >= 0)[:, None].float(), 2)
        picture = F.avg_pool2d(drawn.rgb, 2) + (1 - covered) * resized(behind, SIDE)
        return Shown(picture.clamp(0, 1), self._neural(cameras, vertices, paint, behind))

    def _neural(self, cameras: Cameras, vertices: Tensor, texture: Tensor, background: Tensor) -> Tensor | None:
        if self._renderer is None:
            return None
        side = self._renderer.generator.resolution
        return resized(self._renderer(cameras, vertices, texture, resized(background, side)), SIDE).clamp(0, 1)

    def _cameras(self, look: Look, azimuths: Sequence[float]) -> Cameras:
        usual = typical_cameras(self._table, torch.deg2rad(self._table.azimuth.new_tensor(azimuths)))
        elevation = torch.full_like(usual.elevation, math.radians(look.elevation_degrees))
        return replace(usual, elevation=elevation, distance=usual.distance / look.scale)

    def _part(self, name: str) -> StudioObject:
        found = self.gallery.objects.get(name)
        if found is None:
            raise GanverseError(f"expected the name of an object in the gallery, got {name!r}; reload the page")
        return found


def check_renderer(model: InverseModel, renderer: StyleGANR) -> None:
    """GanverseError unless StyleGAN-R can take what the inverse network gives."""
    found = (len(renderer.shape_mapping.center), renderer.texture_mapping.size)
    given = (len(model.network.start), model.network.config.texture_size)
    if found != given:
        raise GanverseError(
            f"expected a StyleGAN-R for {given[0]} vertices and textures of {given[1]} pixels, as the inverse network "
            f"gives, got one for {found[0]} and {found[1]}; take both from one run with --run"
        )


def resized(images: Float[Tensor, "batch 3 height width"], side: int) -> Float[Tensor, "batch 3 side side"]:
    """Squares of `side` pixels."""
    if images.shape[2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
