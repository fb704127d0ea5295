"""Photos to textured meshes: find the object, cut it out as the network was shown objects, reconstruct, export."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps
from rich.console import Console
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.export import FORMATS, write_mesh
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.weights import load_inverse
from ganverse.masks.masker import separate_instances
from ganverse.masks.segmenter import Segmenter
from ganverse.rendering.render import render
from ganverse.tasks.pictures import grid, save_picture
from ganverse.weights.shipped import FOLDER, load_network

SHIPPED = FOLDER / "inverse-car.safetensors"
SMALLEST_SHARE = 0.02
"""Smallest share of a photo that an object may cover to count as found."""
_ANGLES = (35.0, 125.0, 215.0, 305.0)


@dataclass(frozen=True)
class Box:
    """A square in pixels; it may reach beyond the photo."""

    left: int
    top: int
    side: int


def reconstruct_command(arguments: Sequence[str]) -> list[Path]:
    """`ganverse reconstruct PHOTO... -o OUT`; the files written.

    Raises:
        GanverseError: a photo that cannot be read or shows no object, weights that are missing, a wrong ending.
    """
    parser = ArgumentParser(prog="ganverse reconstruct", description="Photos to textured meshes.")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="picture files, one car each")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="NAME.glb or NAME.obj; several photos give NAME-PHOTO.glb"
    )
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="inverse network; the one in the package")
    parser.add_argument("--segmenter", type=Path, help="weights of the segmenter; the car segmenter in the package")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    given = parser.parse_args(list(arguments))
    if given.output.suffix.lower() not in FORMATS:
        raise GanverseError(f"expected --output ending in {' or '.join(FORMATS)}, got {given.output}; rename it")
    photos = [read_photo(path) for path in given.photos]
    network = load_inverse(given.weights, given.device).network
    segmenter = _segmenter(given.segmenter).to(given.device)
    written = []
    for path, photo in zip(given.photos, photos, strict=True):
        target = given.output if len(photos) == 1 else given.output.with_stem(f"{given.output.stem}-{path.stem}")
        crop = cut_out(photo.to(given.device), segmenter, network.config.resolution, str(path))
        written += export(network, crop, target)
    Console().print("\n".join(map(str, written)), highlight=False, soft_wrap=True)
    return written


def read_photo(path: Path) -> Float[Tensor, "1 3 height width"]:
    """A picture file in [0, 1], upright.

    Raises:
        GanverseError: it is missing or no picture.
    """
    try:
        with Image.open(path) as file:
            pixels = np.array(ImageOps.exif_transpose(file).convert("RGB"))
    except OSError as error:
        raise GanverseError(f"expected a picture at {path}, but it cannot be read ({error})") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def _segmenter(path: Path | None) -> Segmenter:
    if path is None:
        return Segmenter.car()
    segmenter = Segmenter()
    segmenter.sha256 = load_network(segmenter.network, path)
    return segmenter.eval()


@torch.no_grad()
def cut_out(
    photo: Float[Tensor, "1 3 height width"], segmenter: Segmenter, size: int, name: str, *, fill: float = 0.88
) -> Float[Tensor, "1 3 size size"]:
    """The main object of a photo in a square of `size` pixels, filling it as far as in the training pictures.

    Raises:
        GanverseError: no object is found in the photo called `name`.
    """
    mask = separate_instances(segmenter(photo)).foreground
    if float((mask > 0.5).float().mean()) < SMALLEST_SHARE:
        raise GanverseError(f"expected an object covering 2 % of {name} or more, found none; crop the photo closer")
    return crop(photo, bounding_square(mask[0, 0] > 0.5, fill), size)


def bounding_square(mask: Tensor, fill: float) -> Box:
    """The square round the object's bounding box, of which the longer side takes the share `fill`."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, bottom, left, right = (int(edge) for edge in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    side = max(1, round(max(bottom - top, right - left) / fill))
    return Box((left + right - side) // 2, (top + bottom - side) // 2, side)


def crop(photo: Float[Tensor, "1 3 height width"], box: Box, size: int) -> Float[Tensor, "1 3 size size"]:
    """The square, scaled to `size` pixels; beyond the photo's border the border is repeated."""
    height, width = photo.shape[2:]
    rows = torch.arange(box.top, box.top + box.side, device=photo.device).clamp(0, height - 1)
    columns = torch.arange(box.left, box.left + box.side, device=photo.device).clamp(0, width - 1)
    square = photo[:, :, rows][:, :, :, columns]
    return F.interpolate(square, (size, size), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


@torch.no_grad()
def export(network: InverseGraphicsNetwork, picture: Float[Tensor, "1 3 size size"], path: Path) -> list[Path]:
    """Writes the mesh, and NAME-views.png: the picture, its re-render, and four views round the object."""
    seen = network(picture)
    write_mesh(network.mesh(seen), seen.texture[0], path)
    views = path.with_name(f"{path.stem}-views.png")
    save_picture(view_row(network, seen, picture), views)
    return [path, views]


def view_row(
    network: InverseGraphicsNetwork, seen: Reconstruction, picture: Float[Tensor, "1 3 size size"], *, size: int = 192
) -> Float[Tensor, "3 height width"]:
    """Picture | re-render | views from the front left, rear left, rear right and front right."""
    count, device = len(_ANGLES), picture.device
    orbit = Cameras.from_degrees(_ANGLES, [15.0] * count, seen.camera.distance.expand(count), device=device)
    cells = [F.interpolate(picture, (size, size), mode="nearest")]
    for cameras in (seen.camera, orbit):
        shown = seen.repeat_interleave(len(cameras))
        drawn = render(network.mesh(shown), shown.texture, cameras, shown.light, size)
        cells.append(drawn.rgb + (drawn.face_index < 0)[:, None])
    return grid(torch.cat(cells).clamp(0, 1), count + 2)
