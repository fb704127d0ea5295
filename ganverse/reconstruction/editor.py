"""Photo -> scene of StyleGAN-R: turned, and with shape, texture or background of other photos."""

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
        """With shape, texture or background (`PARTS`) of other photos; camera and refinement stay."""
        scenes = self.refined.scenes
        shape, texture, background = (lenders.get(part, self).refined.scenes for part in PARTS)
        edited = replace(scenes, vertices=shape.vertices, texture=texture.texture, background=background.background)
        return replace(self, refined=self.refined.edited(edited))


class Editor:
    """StyleGAN-R with the inverse network that reads a photo's scene for it.

    >>> from ganverse.reconstruction import Editor
    >>> editor = Editor.from_pretrained("car")
    >>> images = editor.turned(editor("photo.jpg"), [0, 90, 180, 270])

    Args:
        renderer: StyleGAN-R.
        reconstructor: with the inverse network that StyleGAN-R was trained with.
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
        """A trained StyleGAN-R by its name or place.

        Args:
            source: "car" (in the package), a run directory, a .safetensors file with its card, or
                hf://owner/repository.
            inverse: the network it was trained with; None looks for it at `source` and in the package.
            masker: on `device`; None takes the one that belongs to `inverse`.
            device: None is a GPU where there is one, else the CPU.

        Raises:
            GanverseError: weights that are missing, damaged or of another kind, or do not belong together.
        """
        device = find_device(None if device is None else str(device))
        renderer, card = load_stylegan_r(find_weights(source, STYLEGAN_R), device)
        path = _teacher(card, [source, "car"] if inverse is None else [inverse])
        model = load_inverse(path, device)
        reconstructor = Reconstructor(model.network, masker or masker_of(model.card, path, device))
        return cls(renderer, reconstructor, model.cameras.all())

    def __call__(self, photo: str | Path | Photo, *, mask: str | Path | None = None, steps: int = 60) -> EditedPhoto:
        """The scene of a photo.

        Args:
            photo: an image file.
            mask: an image file in which the object is white; None takes the photo's alpha, else looks for the object.
            steps: of the refinement of the style codes; 0 leaves them as the mapping networks give them.

        Raises:
            GanverseError: a file that cannot be read, no object in the photo, a mask that does not fit.
        """
        picture, foreground = self.reconstructor.find(photo, mask).framed(self.renderer.framing)
        scenes = self.renderer.read(self.reconstructor.network, picture, foreground)
        perceptual = self._perceptual if steps else None
        return EditedPhoto(picture, refine(self.renderer, scenes, picture, perceptual, DescentSettings(steps=steps)))

    @torch.no_grad()
    def render(self, photo: EditedPhoto) -> Float[Tensor, "1 3 height width"]:
        """StyleGAN-R's image of the scene, of the generator's own size."""
        return render_refined(self.renderer, photo.refined)

    @torch.no_grad()
    def turned(self, photo: EditedPhoto, azimuths_degrees: Sequence[float]) -> Float[Tensor, "frames 3 height width"]:
        """The scene from other azimuths, framed as the generator usually shows them."""
        sweep = azimuth_sweep(photo.refined.scenes, self.cameras, azimuths_degrees)
        correction = photo.refined.correction.repeat_interleave(len(azimuths_degrees), dim=0)
        return render_refined(self.renderer, RefinedScenes(sweep, correction))

    def sheet(self, photo: EditedPhoto, lenders: Mapping[str, EditedPhoto]) -> Float[Tensor, "3 height width"]:
        """A row per scene: the photo, then with each part borrowed, then with all of them.

        Each row shows the photo, StyleGAN-R's image of the scene, and the scene from eight azimuths, 45 degrees apart.
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
    """The inverse network that a StyleGAN-R was trained with."""
    for source in sources:
        with contextlib.suppress(GanverseError):
            path = find_weights(source, INVERSE)
            if read_inverse_card(path).sha256 == card.inverse_sha256:
                return path
    raise GanverseError(
        f"expected the inverse network that StyleGAN-R was trained with ({card.inverse_sha256[:12]}...), found another "
        f"or none at {' or '.join(map(str, sources))}; give its file with --inverse"
    )
