"""Photo -> scene of StyleGAN-R that can be rotated, and take shape, texture or background from other photos."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import find_device
from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import load_inverse, read_inverse_card
from ganverse.io import image_grid
from ganverse.masks.masker import Masker
from ganverse.neural_renderer.controls import azimuth_sweep
from ganverse.neural_renderer.refinement import DescentSettings, RefinedScenes, refine, render_refined
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.weights import StyleGANRCard, load_stylegan_r
from ganverse.pretrained import INVERSE, STYLEGAN_R, find_weights
from ganverse.reconstruction.photos import Photo, masker_of
from ganverse.reconstruction.reconstructor import Reconstructor

PARTS = ("shape", "texture", "background")
_TURNS = tuple(45.0 * step for step in range(8))
_CELL = 128


@dataclass(frozen=True)
class EditedPhoto:
    """A photo as a scene of StyleGAN-R, a batch of one. picture: the framed square that the networks see."""

    picture: Float[Tensor, "1 3 size size"]
    refined: RefinedScenes

    def borrowing(self, lenders: Mapping[str, EditedPhoto]) -> EditedPhoto:
        """Takes shape, texture or background (`PARTS`) from other photos; keeps camera and refinement."""
        scenes = self.refined.scenes
        shape, texture, background = (lenders.get(part, self).refined.scenes for part in PARTS)
        edited = replace(scenes, vertices=shape.vertices, texture=texture.texture, background=background.background)
        return replace(self, refined=self.refined.edited(edited))


class Editor:
    """StyleGAN-R with the inverse network that reads scenes from photos.

    >>> from ganverse.reconstruction import Editor
    >>> editor = Editor.from_pretrained("car")
    >>> images = editor.turned(editor("photo.jpg"), [0, 90, 180, 270])

    Args:
        renderer: StyleGAN-R.
        reconstructor: contains the inverse network that StyleGAN-R was trained with.
        cameras: of that network's view codes.
    """

    def __init__(self, renderer: StyleGANR, reconstructor: Reconstructor, cameras: Cameras) -> None:
        self.renderer, self.reconstructor, self.cameras = renderer, reconstructor, cameras

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = "car",
        *,
        inverse: str | Path | None = None,
        masker: Masker | None = None,
        device: torch.device | str | None = None,
    ) -> Editor:
        """Loads a trained StyleGAN-R.

        Args:
            source: "car" (shipped), a run directory, a .safetensors file with its card, or hf://owner/repository.
            inverse: the network it was trained with; None searches `source` and the shipped weights.
            masker: on `device`; None uses the one that belongs to `inverse`.
            device: None means a GPU if available, else the CPU.

        Raises:
            GanverseError: weights are missing, damaged, of another kind, or do not belong together.
        """
        device = find_device(None if device is None else str(device))
        renderer, card = load_stylegan_r(find_weights(source, STYLEGAN_R), device)
        path = _teacher(card, [source, "car"] if inverse is None else [inverse])
        model = load_inverse(path, device)
        reconstructor = Reconstructor(model.network, masker or masker_of(model.card, path, device))
        return cls(renderer, reconstructor, model.cameras.all())

    def __call__(self, photo: str | Path | Photo, *, mask: str | Path | None = None, steps: int = 60) -> EditedPhoto:
        """Reads the scene of a photo.

        Args:
            photo: an image file.
            mask: an image file with a white object; None uses the photo's alpha, or finds the object.
            steps: refinement steps for the style codes; 0 keeps the mapping networks' prediction.

        Raises:
            GanverseError: an unreadable file, no object in the photo, or a mask that does not fit.
        """
        picture, foreground = self.reconstructor.find(photo, mask).framed(self.renderer.framing)
        scenes = self.renderer.read(self.reconstructor.network, picture, foreground)
        perceptual = self._perceptual if steps else None
        return EditedPhoto(picture, refine(self.renderer, scenes, picture, perceptual, DescentSettings(steps=steps)))

    @torch.no_grad()
    def render(self, photo: EditedPhoto) -> Float[Tensor, "1 3 height width"]:
        """StyleGAN-R's image of the scene, at the generator's size."""
        return render_refined(self.renderer, photo.refined)

    @torch.no_grad()
    def turned(self, photo: EditedPhoto, azimuths_degrees: Sequence[float]) -> Float[Tensor, "frames 3 height width"]:
        """The scene from other azimuths, framed as the generator usually frames them."""
        sweep = azimuth_sweep(photo.refined.scenes, self.cameras, azimuths_degrees)
        correction = photo.refined.correction.repeat_interleave(len(azimuths_degrees), dim=0)
        return render_refined(self.renderer, RefinedScenes(sweep, correction))

    def sheet(self, photo: EditedPhoto, lenders: Mapping[str, EditedPhoto]) -> Float[Tensor, "3 height width"]:
        """One row per scene: the photo, then with each part replaced, then with all of them.

        Each row shows the photo, StyleGAN-R's image of the scene, and eight azimuths, 45 degrees apart.
        """
        rows = [photo, *(photo.borrowing({part: lender}) for part, lender in lenders.items())]
        if len(lenders) > 1:
            rows.append(photo.borrowing(lenders))
        own = self.renderer.framing.invert(photo.picture)
        images = [torch.cat([own, self.render(row), self.turned(row, _TURNS)]) for row in rows]
        return image_grid(torch.cat(images), 2 + len(_TURNS), zoom=max(1, _CELL // max(own.shape[2:])))

    @cached_property
    def _perceptual(self) -> PerceptualDistance:
        return PerceptualDistance().to(self.cameras.azimuth.device)


def _teacher(card: StyleGANRCard, sources: Sequence[str | Path]) -> Path:
    """Finds the inverse network that a StyleGAN-R was trained with."""
    for source in sources:
        with contextlib.suppress(GanverseError):
            path = find_weights(source, INVERSE)
            if read_inverse_card(path).sha256 == card.inverse_sha256:
                return path
    raise GanverseError(
        f"expected the inverse network that StyleGAN-R was trained with ({card.inverse_sha256[:12]}...), found another "
        f"or none at {' or '.join(map(str, sources))}; give its file with --inverse"
    )
