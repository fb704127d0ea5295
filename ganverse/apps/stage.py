"""What the studio shows: a gallery of objects, and one scene of their parts through both renderers."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.errors import GanverseError, quoted
from ganverse.export import glb_bytes
from ganverse.generators.framing import Framing
from ganverse.inverse.network import Reconstruction
from ganverse.inverse.weights import InverseModel
from ganverse.io import png_bytes
from ganverse.masks.masker import Masker
from ganverse.neural_renderer.controls import typical_cameras
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import remove_object
from ganverse.reconstruction.photos import Photo, find_object
from ganverse.reconstruction.reconstructor import gif_bytes, render_over

SAMPLING = SamplingSettings(views=1, block=1)
"""One image at a time: a block of the training's size would synthesize fifteen for nothing."""
ELEVATIONS = (-10.0, 45.0)
SCALES = (0.5, 1.6)
SIDE = 256
"""Least pixels on the longer side of what is shown and downloaded, per renderer; larger generators show their own."""
_FRAMES, _SECONDS, _CHUNK = 36, 3.24, 6


@dataclass(frozen=True)
class Look:
    """A scene: names of the objects that give its parts, and the camera.

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
class StudioObject:
    """Parts that can be swapped, batches of one.

    image: the network's input. reconstruction: its prediction. background: `image` without its object.
    """

    image: Float[Tensor, "1 3 size size"]
    reconstruction: Reconstruction
    background: Float[Tensor, "1 3 size size"]


class Stage:
    """The gallery and both renderers; every method may be called from any thread.

    Args:
        model: the inverse network and its cameras.
        sampler: of the gallery's objects, with `SAMPLING`; object i, named "i", is always the same.
        masker: finds the objects of photos that come without alpha.
        renderer: StyleGAN-R, None if there is none yet.
        framing: how the generator's images stand in those of the sampler; None: they are the same.

    Raises:
        GanverseError: a StyleGAN-R for other meshes or textures than those of the inverse network.
    """

    def __init__(
        self,
        model: InverseModel,
        sampler: MultiViewSampler,
        masker: Masker | None,
        renderer: StyleGANR | None,
        framing: Framing | None = None,
    ) -> None:
        self._network, self._masker, self._renderer = model.network, masker, renderer
        side = model.network.config.resolution
        self._framing = framing or Framing(side, side, side)
        full = self._framing.full
        larger = max(1.0, SIDE / max(full.height, full.width))
        self._shown = Framing(*(round(larger * pixels) for pixels in (full.height, full.width, full.resolution)))
        self._cameras = model.cameras.all()
        self._sampler, self._samples = sampler, 0
        self._lock = threading.Lock()
        self.objects: dict[str, StudioObject] = {}
        if renderer is not None:
            _check_renderer(model, renderer)

    @property
    def neural(self) -> bool:
        """Whether there is a StyleGAN-R."""
        return self._renderer is not None

    @property
    def usual_elevation_degrees(self) -> float:
        """The mean elevation of the generator's images, within `ELEVATIONS`."""
        return _within(float(self._cameras.elevation.mean().rad2deg()), ELEVATIONS)

    def sample(self) -> str:
        """Adds the generator's next object; its name."""
        with self._lock:
            name = str(self._samples)
            batch = self._sampler.draw(torch.tensor([self._samples])).batch
            self._samples += 1
            self.objects[name] = self._object(batch.images[:, 0], batch.masks[:, 0])
            return name

    def add_photo(self, data: bytes) -> str:
        """Adds the object in an image file; its name.

        Raises:
            GanverseError: no image, or no object in it.
        """
        with self._lock:
            found = find_object(Photo.read(data, "the photo").to(self._network.start.device), self._masker)
            name = f"photo-{hashlib.sha256(data).hexdigest()[:12]}"
            self.objects[name] = self._object(*found.framed(self._framing))
            return name

    def camera_of(self, name: str) -> tuple[float, float]:
        """Azimuth in [0, 360) and elevation within `ELEVATIONS`, degrees, predicted for an object's own image."""
        camera = self._part(name).reconstruction.camera
        elevation = _within(math.degrees(float(camera.elevation[0])), ELEVATIONS)
        return math.degrees(float(camera.azimuth[0])) % 360, elevation

    def show(self, look: Look) -> list[Float[Tensor, "1 3 height width"]]:
        """The mesh (DIB-R) over the background and, if there is a StyleGAN-R, its image.

        Both have the generator's proportions and its size, or `SIDE` pixels on the longer side where that is more.
        """
        with self._lock:
            return self._frames(look, [look.azimuth_degrees])

    def picture(self, look: Look) -> bytes:
        """`show` as a PNG, side by side."""
        return png_bytes(torch.cat(self.show(look), dim=3)[0], compression=1)

    def turntable(self, look: Look) -> bytes:
        """An animated GIF of one turn, side by side."""
        azimuths = [look.azimuth_degrees + 360.0 * frame / _FRAMES for frame in range(_FRAMES)]
        chunks = [azimuths[start : start + _CHUNK] for start in range(0, _FRAMES, _CHUNK)]
        with self._lock:
            return gif_bytes(torch.cat([torch.cat(self._frames(look, chunk), dim=3) for chunk in chunks]), _SECONDS)

    def glb(self, look: Look) -> bytes:
        """The scene's mesh with its texture."""
        with self._lock:
            mesh = self._network.mesh(self._part(look.shape).reconstruction)
            return glb_bytes(mesh, self._part(look.texture).reconstruction.texture[0])

    def thumbnail(self, name: str) -> bytes:
        """The image that an object was reconstructed from, as a PNG."""
        return png_bytes(self._framing.crop(self._part(name).image)[0], compression=1)

    @torch.no_grad()
    def _object(self, image: Tensor, mask: Tensor) -> StudioObject:
        return StudioObject(image, self._network(image), remove_object(image, mask, self._framing))

    @torch.no_grad()
    def _frames(self, look: Look, azimuths: Sequence[float]) -> list[Tensor]:
        count = len(azimuths)
        shape, surface = (self._part(one).reconstruction.repeat_interleave(count) for one in (look.shape, look.texture))
        background = self._part(look.background).background.expand(count, -1, -1, -1)
        cameras = typical_cameras(self._cameras, torch.deg2rad(self._cameras.azimuth.new_tensor(azimuths)))
        cameras = replace(
            cameras,
            elevation=torch.full_like(cameras.elevation, math.radians(look.elevation_degrees)),
            distance=cameras.distance / look.scale,
        )
        shown, mesh = self._shown, self._network.mesh(shape)
        behind = shown.pad(_resize(self._framing.crop(background), shown))
        images = [shown.crop(render_over(behind, mesh, surface.texture, cameras, surface.light))]
        if self._renderer is not None:
            images.append(_resize(self._renderer(cameras, shape.vertices, surface.texture, background), shown))
        return images

    def _part(self, name: str) -> StudioObject:
        found = self.objects.get(name)
        if found is None:
            raise GanverseError(f"expected the name of an object in the gallery, got {quoted(name)}; reload the page")
        return found


def _check_renderer(model: InverseModel, renderer: StyleGANR) -> None:
    found = (len(renderer.shape_mapping.center), renderer.texture_mapping.size, renderer.framing.resolution)
    given = (len(model.network.start), model.network.config.texture_size, model.network.config.resolution)
    if found != given:
        raise GanverseError(
            f"expected a StyleGAN-R for {given[0]} vertices, textures and images of {given[1]} and {given[2]} pixels, "
            f"as the inverse network has, got one for {found[0]}, {found[1]} and {found[2]}; take both from one run "
            "with --run"
        )


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _resize(images: Tensor, shown: Framing) -> Tensor:
    size = (shown.height, shown.width)
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
