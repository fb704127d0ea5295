"""Photo -> textured mesh, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import find_device
from ganverse.export import save_mesh
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.weights import load_inverse
from ganverse.io import to_pil, write_atomically
from ganverse.masks.masker import Masker
from ganverse.pretrained import INVERSE, find_weights
from ganverse.reconstruction.photos import FoundObject, Photo, find_object, masked_object, masker_of, read_mask
from ganverse.reconstruction.refinement import RefinementSettings, best_hypothesis, refine, silhouette_agreement
from ganverse.reconstruction.texture import mirror_hidden, predict
from ganverse.rendering import render

_CORNERS = (35.0, 125.0, 215.0, 305.0)
_ELEVATION_DEGREES, _SECONDS, _CHUNK = 15.0, 3.0, 6


class Reconstructor:
    """A trained inverse network with a masker.

    >>> from ganverse.reconstruction import Reconstructor
    >>> reconstructor = Reconstructor.from_pretrained("car")
    >>> files = reconstructor("photo.jpg").save("car.glb")

    Args:
        network: in eval mode; photos are moved to its device.
        masker: finds the object of a photo without a mask; None finds none.
        mirror_hidden: whether hidden sides take the texture of visible ones, for symmetric categories.
    """

    def __init__(
        self, network: InverseGraphicsNetwork, masker: Masker | None = None, *, mirror_hidden: bool = True
    ) -> None:
        self.network, self.masker, self.mirror_hidden = network, masker, mirror_hidden

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = "car",
        *,
        masker: Masker | None = None,
        device: torch.device | str | None = None,
    ) -> Reconstructor:
        """Loads a trained network.

        Args:
            source: "car" (shipped), a run directory, a .safetensors file with its card, a training .ckpt, or
                hf://owner/repository.
            masker: on `device`; None uses the one that belongs to the weights (see `photos.masker_of`).
            device: None means a GPU if available, else the CPU.

        Raises:
            GanverseError: weights are missing, damaged or of another kind, or the device does not exist.
        """
        path, device = find_weights(source, INVERSE), find_device(None if device is None else str(device))
        model = load_inverse(path, device)
        return cls(model.network, masker or masker_of(model.card, path, device))

    def __call__(
        self, photo: str | Path | Photo, *, mask: str | Path | None = None, refinement: RefinementSettings | None = None
    ) -> ReconstructedObject:
        """Reconstructs the main object of a photo.

        Args:
            photo: an image file.
            mask: an image file with a white object; None uses the photo's alpha, or finds the object.
            refinement: test-time refinement settings; None keeps the network's prediction.

        Raises:
            GanverseError: an unreadable file, no object in the photo, or a mask that does not fit.
        """
        found, settings = self.find(photo, mask), refinement or RefinementSettings(steps=0)
        if settings.hypothesis_steps:
            predicted = best_hypothesis(self.network, found, settings)
        else:
            predicted = predict(self.network, found)
        if settings.steps:
            size = settings.size
            predicted = refine(self.network, predicted, found.picture(size), found.mask(size), settings)
        if self.mirror_hidden and self.network.config.symmetric:
            predicted = mirror_hidden(self.network, predicted)
        return ReconstructedObject(self.network, found, predicted)

    def find(self, photo: str | Path | Photo, mask: str | Path | None = None) -> FoundObject:
        """Finds the main object of a photo without reconstructing it; arguments and errors as above."""
        photo = photo if isinstance(photo, Photo) else Photo.read(Path(photo))
        photo = photo.to(self.network.start.device)
        return find_object(photo, self.masker) if mask is None else masked_object(photo, read_mask(Path(mask), photo))


@dataclass(frozen=True)
class ReconstructedObject:
    """A reconstructed object. reconstruction: a batch of one."""

    network: InverseGraphicsNetwork
    found: FoundObject
    reconstruction: Reconstruction

    @property
    def mesh(self) -> Mesh:
        """The mesh, a batch of one, world frame: +y up, front +z."""
        return self.network.mesh(self.reconstruction)

    @property
    def texture(self) -> Float[Tensor, "3 tex tex"]:
        """The UV image in [0, 1], row 0 at v = 1."""
        return self.reconstruction.texture[0]

    def silhouette_iou(self, size: int = 128) -> float:
        """IoU of the photo's mask and the re-rendered silhouette, in a square of `size` pixels."""
        return float(silhouette_agreement(self.network, self.reconstruction, self.found.mask(size)))

    def save(self, path: str | Path) -> list[Path]:
        """Writes the textured mesh (.glb, .obj or USD, by the ending of `path`); returns the files written, `path`
        first.

        Raises:
            GanverseError: another ending, or a USD file without usd-core.
        """
        return save_mesh(self.mesh, self.texture, Path(path))

    def views(self, size: int = 192) -> Float[Tensor, "3 size width"]:
        """One row: photo, re-render, and views from the front left, rear left, rear right and front right."""
        resolution = self.network.config.resolution
        photo = F.interpolate(self.found.picture(min(size, 2 * resolution)), (size, size), mode="bicubic").clamp(0, 1)
        again = self._on_white(self.reconstruction.camera, size)
        return torch.cat([*photo, *again, *self.seen_from(_CORNERS, size)], dim=2)

    def seen_from(self, azimuths_degrees: Sequence[float], size: int = 256) -> Float[Tensor, "frames 3 size size"]:
        """Anti-aliased images on white, from 15 degrees above, at the distance of the photo's camera."""
        parts = []
        for start in range(0, len(azimuths_degrees), _CHUNK):
            azimuths = list(azimuths_degrees[start : start + _CHUNK])
            distance = self.reconstruction.camera.distance.expand(len(azimuths))
            elevations = [_ELEVATION_DEGREES] * len(azimuths)
            cameras = Cameras.from_degrees(azimuths, elevations, distance, device=distance.device)
            parts.append(self._on_white(cameras, size))
        return torch.cat(parts)

    def save_turntable(self, path: str | Path, frames: int = 36, size: int = 256) -> None:
        """Writes one turn as an animated GIF, from the front towards the object's left side."""
        turn = self.seen_from([360.0 * frame / frames for frame in range(frames)], size)
        write_atomically(Path(path), gif_bytes(turn, _SECONDS))

    def _on_white(self, cameras: Cameras, size: int) -> Float[Tensor, "frames 3 size size"]:
        one = self.reconstruction.repeat_interleave(len(cameras))
        white = one.texture.new_ones(len(cameras), 3, size, size)
        return render_over(white, self.network.mesh(one), one.texture, cameras, one.light)


@torch.no_grad()
def render_over(
    background: Float[Tensor, "batch 3 size size"],
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex tex"],
    cameras: Cameras,
    light: Float[Tensor, "batch 9"] | None = None,
) -> Float[Tensor, "batch 3 size size"]:
    """Meshes over images in [0, 1], with four samples per pixel."""
    drawn = render(mesh, texture, cameras, light, 2 * background.shape[-1])
    covered = F.avg_pool2d((drawn.face_index >= 0)[:, None].float(), 2)
    return (F.avg_pool2d(drawn.rgb, 2) + (1 - covered) * background).clamp(0, 1)


def gif_bytes(frames: Float[Tensor, "frames 3 height width"], seconds: float) -> bytes:
    """An endless animation of the given duration, with one palette for all frames to avoid flicker."""
    few = torch.cat(list(frames[:: max(1, len(frames) // 4)]), dim=1)
    palette = to_pil(few).quantize(255)
    first, *rest = (to_pil(frame).quantize(palette=palette) for frame in frames)
    buffer, milliseconds = BytesIO(), round(1000 * seconds / len(frames))
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=1)
    return buffer.getvalue()
