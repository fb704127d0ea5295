"""Photos as scenes of StyleGAN-R: turned, and with shape, texture or background of other photos."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.evaluation.control import read_scenes
from ganverse.evaluation.picture_table import Column, table
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.masks.masker import Masker
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.controls import azimuth_sweep
from ganverse.neural_renderer.refinement import DescentSettings, RefinedScenes, refine, render_refined
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pretrained import SHIPPED
from ganverse.reconstruction.photos import Photo, find_object

PARTS = ("shape", "texture", "background")
_TURNS = tuple(45.0 * step for step in range(8))
_CELL = 128


@dataclass(frozen=True)
class Editor:
    """StyleGAN-R, the network that reads scenes for it, and what finds objects.

    Raises:
        GanverseError: a StyleGAN-R that was taught by another network.
    """

    renderer: StyleGANR
    model: InverseModel
    masker: Masker
    perceptual: PerceptualDistance | None = None

    @classmethod
    def open(cls, weights: Path, inverse: Path, *, refines: bool) -> Editor:
        """From files; `refines` loads the perceptual distance too."""
        renderer, card = load_stylegan_r(weights)
        model = load_inverse(inverse)
        if card.inverse_sha256 != model.card.sha256:
            raise GanverseError(
                f"expected {inverse} to be the network that taught {weights} ({card.inverse_sha256[:12]}...), got "
                f"{model.card.sha256[:12]}...; give its file with --inverse"
            )
        return cls(renderer, model, Segmenter.from_pretrained(), PerceptualDistance() if refines else None)

    @torch.no_grad()
    def read(self, photo: Path) -> tuple[Float[Tensor, "1 3 size size"], Scenes]:
        """The square that the networks see of a photo, and its scene.

        Raises:
            GanverseError: no picture, or no object in it.
        """
        size = self.model.network.config.resolution
        found = find_object(Photo.read(photo), self.masker)
        return found.picture(size), read_scenes(self.model, found.picture(size), found.mask(size))

    def refined(self, picture: Float[Tensor, "1 3 size size"], scenes: Scenes, steps: int) -> RefinedScenes:
        """The scene with its content styles corrected in so many steps."""
        return refine(self.renderer, scenes, picture, self.perceptual, DescentSettings(steps=steps))

    def turned(self, refined: RefinedScenes, azimuths: Sequence[float]) -> Float[Tensor, "frames 3 size size"]:
        """The scene from other sides (degrees), its correction kept."""
        sweep = azimuth_sweep(refined.scenes, self.model.cameras.all(), azimuths)
        correction = refined.correction.repeat_interleave(len(azimuths), dim=0)
        with torch.no_grad():
            return render_refined(self.renderer, RefinedScenes(sweep, correction))


def edit_command(arguments: Sequence[str]) -> Path:
    """`ganverse edit PHOTO -o SHEET.png ...`; the file written.

    Raises:
        GanverseError: a photo that cannot be read or shows no object, weights that do not belong together.
    """
    given = _arguments(arguments)
    if given.output.suffix.lower() != ".png":
        raise GanverseError(f"expected --output ending in .png, got {given.output}; rename it")
    if given.steps < 0:
        raise GanverseError(f"expected --steps of 0 or more, got {given.steps}")
    editor = Editor.open(given.weights, given.inverse, refines=given.steps > 0)
    lenders = {part: editor.read(path)[1] for part in PARTS if (path := getattr(given, part)) is not None}
    picture, scenes = editor.read(given.photo)
    sheet = edit_sheet(editor, picture, editor.refined(picture, scenes, given.steps), lenders)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(given.output)
    Console().print(str(given.output), highlight=False, soft_wrap=True)
    return Path(given.output)


def edit_sheet(
    editor: Editor, picture: Float[Tensor, "1 3 size size"], refined: RefinedScenes, lenders: dict[str, Scenes]
) -> Image.Image:
    """First row: the photo, painted again, turned. Then a row per borrowed part, and one with all of them."""
    rows = {"photo": refined}
    for part, lender in lenders.items():
        rows[f"{part} borrowed"] = refined.edited(borrowed(refined.scenes, {part: lender}))
    if len(lenders) > 1:
        rows["all borrowed"] = refined.edited(borrowed(refined.scenes, lenders))
    with torch.no_grad():
        own = [render_refined(editor.renderer, row) for row in rows.values()]
    turned = torch.stack([editor.turned(row, _TURNS) for row in rows.values()])
    columns = [
        Column("photo", picture.expand(len(rows), -1, -1, -1)),
        Column("StyleGAN-R", torch.cat(own)),
        *(Column(f"{azimuth:g}°", turned[:, turn]) for turn, azimuth in enumerate(_TURNS)),
    ]
    return table(columns, rows=list(rows), cell=_CELL)


def borrowed(scenes: Scenes, lenders: dict[str, Scenes]) -> Scenes:
    """Shape, texture or background of other scenes; camera and the rest stay."""
    shape, texture, background = (lenders.get(part, scenes) for part in PARTS)
    return replace(scenes, vertices=shape.vertices, texture=texture.texture, background=background.background)


def _arguments(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser(
        prog="ganverse edit", description="A photo as a scene of StyleGAN-R: turned, with parts of other photos."
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="picture file with one car")
    parser.add_argument("-o", "--output", type=Path, required=True, help="SHEET.png")
    for part in PARTS:
        parser.add_argument(f"--{part}", type=Path, metavar="PHOTO", help=f"another photo, which lends its {part}")
    parser.add_argument(
        "--steps", type=int, default=60, help="of the refinement of the style codes; 0 = as read (%(default)s)"
    )
    parser.add_argument("--weights", type=Path, default=SHIPPED / "stylegan-r-car.safetensors", help="StyleGAN-R")
    parser.add_argument("--inverse", type=Path, default=SHIPPED / "inverse-car.safetensors", help="what taught it")
    return parser.parse_args(list(arguments))
