"""The objects of the studio: drawn from the generator, or out of a photo."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.data.sources import Source
from ganverse.errors import GanverseError
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.masks.masker import Masker
from ganverse.neural_renderer.scenes import remove_object
from ganverse.reconstruction.photos import Photo, find_object

LARGEST_PHOTO = 1024
"""Photos are scaled down to this longer side: the networks look at far fewer pixels."""


@dataclass(frozen=True)
class StudioObject:
    """Parts that can be swapped.

    picture: what the network saw. seen: its reconstruction, a batch of one. background: the picture without its object.
    """

    picture: Float[Tensor, "1 3 size size"]
    seen: Reconstruction
    background: Float[Tensor, "1 3 size size"]


class Gallery:
    """Objects by name; number i of the generator is called "i" and is always the same object."""

    def __init__(self, network: InverseGraphicsNetwork, source: Source, masker: Masker, seed: int = 0) -> None:
        self._network, self._masker = network, masker
        # One picture at a time: a block of the training's size would make fifteen for nothing.
        settings = SamplingSettings(seed=seed, views=1, block=1)
        self._sampler = MultiViewSampler(source.generator, source.codes, source.masker, settings)
        self.objects: dict[str, StudioObject] = {}
        self._samples = 0

    def sample(self) -> str:
        """Adds the generator's next object; its name."""
        name = str(self._samples)
        batch = self._sampler.draw(torch.tensor([self._samples])).batch
        self._samples += 1
        self.objects[name] = self._understood(batch.images[:, 0], batch.masks[:, 0])
        return name

    def add_photo(self, data: bytes) -> str:
        """Adds the object of a picture file; its name.

        Raises:
            GanverseError: no picture, or no object in it.
        """
        photo = Photo("the photo", decoded(data).to(self._network.start.device))
        picture = find_object(photo, self._masker).picture(self._network.config.resolution)
        mask = self._masker(picture).foreground
        name = f"photo-{hashlib.sha256(data).hexdigest()[:12]}"
        self.objects[name] = self._understood(picture, mask)
        return name

    @torch.no_grad()
    def _understood(self, picture: Tensor, mask: Tensor) -> StudioObject:
        size = self._network.config.resolution
        if picture.shape[2:] != (size, size):
            picture, mask = (
                F.interpolate(x, (size, size), mode="bilinear", antialias=True).clamp(0, 1) for x in (picture, mask)
            )
        return StudioObject(picture, self._network(picture), remove_object(picture, mask))


def decoded(data: bytes) -> Float[Tensor, "1 3 height width"]:
    """A picture file in [0, 1], upright, scaled down to `LARGEST_PHOTO`; GanverseError if it is none."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            file.draft("RGB", (2 * LARGEST_PHOTO, 2 * LARGEST_PHOTO))
            upright = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GanverseError(f"expected a picture file, but this one cannot be read ({error})") from error
    upright.thumbnail((LARGEST_PHOTO, LARGEST_PHOTO))
    if min(upright.size) < 16:
        raise GanverseError(f"expected a picture of 16 pixels a side or more, got {upright.width} x {upright.height}")
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1)[None].float() / 255
