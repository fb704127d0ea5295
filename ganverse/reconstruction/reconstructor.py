"""The way from a photo to a textured mesh, as a Python object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.export.files import write_mesh
from ganverse.geometry.meshes import Mesh
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.weights import load_inverse
from ganverse.masks.masker import Masker
from ganverse.masks.segmenter import Segmenter
from ganverse.reconstruction.photos import FoundObject, Photo, find_object, masked_object, read_mask
from ganverse.reconstruction.refinement import RefinementSettings, refine, silhouette_agreement
from ganverse.reconstruction.turntable import on_white, orbit, write_turntable

_ANGLES = [35.0, 125.0, 215.0, 305.0]


class Reconstructor:
    """A trained inverse network and a source of masks.

    >>> from ganverse.reconstruction import Reconstructor
    >>> reconstructor = Reconstructor.open()
    >>> reconstructor("photo.jpg").save("car.glb")
    """

    def __init__(self, network: InverseGraphicsNetwork, masker: Masker) -> None:
        self.network, self.masker = network, masker

    @classmethod
    def open(
        cls, weights: str | Path = "car", *, masker: Masker | None = None, device: torch.device | str = "cpu"
    ) -> Reconstructor:
        """weights: see `ganverse.weights.finding.find_weights`. masker: on `device`; None = the shipped one for cars.

        Raises:
            GanverseError: weights that are missing or of another kind.
        """
        return cls(load_inverse(weights, device).network, masker or Segmenter.from_pretrained().to(device))

    def __call__(
        self, photo: str | Path | Photo, *, mask: str | Path | None = None, refinement: RefinementSettings | None = None
    ) -> ReconstructedObject:
        """The main object of a photo. mask: a picture in which it is white; None looks for it.

        refinement: how far the photo may correct what the network saw; None leaves it as it is.

        Raises:
            GanverseError: a file that cannot be read, no object in the photo, a mask that does not fit.
        """
        photo = photo if isinstance(photo, Photo) else Photo.read(Path(photo))
        photo = Photo(photo.name, photo.pixels.to(self.network.start.device))
        if mask is None:
            return self.understand(find_object(photo, self.masker), refinement)
        given = read_mask(Path(mask), photo).to(photo.pixels.device)
        return self.understand(masked_object(photo, given), refinement)

    def understand(self, found: FoundObject, refinement: RefinementSettings | None = None) -> ReconstructedObject:
        """An object that is found already."""
        with torch.no_grad():
            seen = self.network(found.picture(self.network.config.resolution))
        if refinement is not None and refinement.steps:
            size = refinement.size
            seen = refine(self.network, seen, found.picture(size), found.mask(size), refinement)
        return ReconstructedObject(self.network, found, seen)


@dataclass(frozen=True)
class ReconstructedObject:
    """What is known of one object. seen: a batch of one."""

    network: InverseGraphicsNetwork
    found: FoundObject
    seen: Reconstruction

    @property
    def mesh(self) -> Mesh:
        """The shape, a batch of one, world frame: +y up, front +z."""
        return self.network.mesh(self.seen)

    @property
    def texture(self) -> Float[Tensor, "3 tex tex"]:
        """The UV image in [0, 1], row 0 at v = 1."""
        return self.seen.texture[0]

    def agreement(self, size: int = 128) -> float:
        """IoU of the photo's mask with the re-rendered silhouette, in a square of `size` pixels."""
        return float(silhouette_agreement(self.network, self.seen, self.found.mask(size)))

    def save(self, path: str | Path) -> list[Path]:
        """Writes the textured mesh; see `ganverse.export.files.write_mesh`."""
        return write_mesh(self.mesh, self.texture, Path(path))

    def views(self, size: int = 192) -> Float[Tensor, "3 size width"]:
        """In a row: photo, re-render, and views from the front left, rear left, rear right and front right."""
        resolution = self.network.config.resolution
        photo = F.interpolate(self.found.picture(min(size, 2 * resolution)), (size, size), mode="bicubic").clamp(0, 1)
        again = on_white(self.network, self.seen, self.seen.camera, size)
        return torch.cat([*photo, *again, *orbit(self.network, self.seen, _ANGLES, size)], dim=2)

    def turntable(self, frames: int = 36, size: int = 256) -> Float[Tensor, "frames 3 size size"]:
        """One turn, from in front of the object towards its left side."""
        return orbit(self.network, self.seen, [360.0 * frame / frames for frame in range(frames)], size)

    def save_turntable(self, path: str | Path, frames: int = 36, size: int = 256) -> None:
        """Writes `turntable` as .gif, .mp4, or .png (every frame beside the next)."""
        write_turntable(self.turntable(frames, size), Path(path))
