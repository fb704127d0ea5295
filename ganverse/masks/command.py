"""`ganverse masks`: a segmenter for any GAN from a few painted masks."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from ganverse.arguments import CommandParser
from ganverse.devices import add_device_option, find_device
from ganverse.errors import GanverseError
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import load_generator
from ganverse.io import image_grid, read_image, read_mask, save_image, to_pil
from ganverse.masks.learning import (
    ANNOTATED_SEED,
    TESTED_SEED,
    LearningSettings,
    learn_segmenter,
    mixed_styles,
    working_side,
)
from ganverse.pretrained import generator_path, save_network, segmenter_beside

_MOST_PICTURES = 1000
_SMALLEST_SIDE = 256
"""Images are written at least this large, because smaller ones are hard to paint on."""
_DARK, _LIGHT, _MOST_GRAY = 64 / 255, 191 / 255, 0.1
_TESTED = 16
_DESCRIPTION = """\
Train a segmenter for a GAN, in two calls.

The first call writes images of the GAN to NAME-masks/. Paint some of them in any program, the object white and
everything else black, and save each as NNN-mask.png beside NNN.png, at the same size. The second call learns from
them. It writes NAME-segmenter.safetensors, which all commands then find automatically, and NAME-segmenter.png for
checking. Two masks are the minimum, five are a good start, sixteen are plenty."""


def masks_command(arguments: Sequence[str]) -> Path | None:
    """`ganverse masks GENERATOR`: writes images to paint (returns None), or the segmenter learned from them (its path).

    Raises:
        GanverseError: unreadable weights or painted masks.
    """
    given = _parser().parse_args(list(arguments))
    settings = LearningSettings(labeled=given.labeled)
    settings = replace(settings, segmenter=replace(settings.segmenter, steps=given.steps))
    device, path = find_device(given.device), generator_path(given.generator)
    network, card = load_generator(path)
    generator = framed(network.to(device))
    folder = given.folder or path.with_name(f"{path.stem}-masks")
    report = partial(Console(stderr=True).print, highlight=False, soft_wrap=True, markup=False)
    numbers = [number for number in range(_MOST_PICTURES) if _mask(_picture(folder, number)).is_file()]
    if not 2 <= given.pictures <= _MOST_PICTURES:
        raise GanverseError(f"expected --pictures between 2 and {_MOST_PICTURES}, got {given.pictures}")
    if len(numbers) < 2:
        write_pictures(_synthesize(generator, ANNOTATED_SEED, given.pictures), folder)
        report(
            f"{given.pictures} images in {folder}: paint the objects white and everything else black, save each as "
            "000-mask.png, 001-mask.png, ... beside its image (five to sixteen are enough), then run the same command "
            "again"
        )
        return None
    masks = torch.stack([read_painted_mask(_picture(folder, number), working_side(generator)) for number in numbers])
    report(f"learning from {len(numbers)} painted masks of {folder}; this takes about a minute")
    segmenter, left_out_iou = learn_segmenter(generator, numbers, masks, settings)
    output = given.output or segmenter_beside(path)
    facts = {
        "network": "SegmenterNetwork",
        "trained_on": f"{len(numbers)} painted masks of images of {path.stem} ({card.sha256[:12]})",
        "license": card.license,
        "working_size": segmenter.working_size,
        "labeled": settings.labeled,
        "steps": settings.segmenter.steps,
        "left_out_iou": round(left_out_iou, 4),
    }
    save_network(segmenter.network, output, facts)
    images = _synthesize(generator, TESTED_SEED, _TESTED)
    masks = segmenter(images).foreground
    pairs = torch.stack([images, images * (0.2 + 0.8 * masks)], dim=1).flatten(0, 1)
    save_image(image_grid(pairs.cpu(), columns=8), output.with_suffix(".png"))
    report(f"{output}: IoU {left_out_iou:.3f} on painted masks excluded from the training")
    report(f"check {output.with_suffix('.png')}; if outlines are wrong, paint more images and run again")
    return output


def _parser() -> CommandParser:
    parser = CommandParser(prog="ganverse masks", description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "generator", nargs="?", default="car", help='.safetensors file of a GAN, or "car" (%(default)s)'
    )
    parser.add_argument("--folder", type=Path, help="images and masks (default: NAME-masks beside the weights)")
    parser.add_argument("-o", "--output", type=Path, help="output (default: NAME-segmenter.safetensors)")
    parser.add_argument("--pictures", type=int, default=16, help="images to write (default: %(default)s)")
    parser.add_argument(
        "--labeled", type=int, default=256, help="additional images for the segmenter (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=150, help="training steps (default: %(default)s)")
    add_device_option(parser)
    return parser


@torch.no_grad()
def _synthesize(generator: ImageGenerator, seed: int, count: int) -> Float[Tensor, "images 3 side side"]:
    return torch.cat([generator.synthesize(row) for row in mixed_styles(generator, seed, range(count)).split(1)])


def _picture(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}.png"


def _mask(picture: Path) -> Path:
    return picture.with_name(f"{picture.stem}-mask.png")


def write_pictures(images: Float[Tensor, "images 3 side side"], folder: Path) -> None:
    """Writes images in [0, 1] as 000.png, 001.png, ..., small ones enlarged; existing files are kept."""
    zoom = max(1, -(-_SMALLEST_SIDE // images.shape[3]))
    for number, image in enumerate(images):
        if not _picture(folder, number).exists():
            save_image(to_pil(image).resize((zoom * image.shape[2], zoom * image.shape[1])), _picture(folder, number))


def read_painted_mask(picture: Path, side: int) -> Float[Tensor, "1 side side"]:
    """The mask NAME-mask.png of an image NAME.png, at `side` pixels, in [0, 1] (white is 1).

    Raises:
        GanverseError: the mask is unreadable, differs in size from its image, or is not black and white.
    """
    path = _mask(picture)
    mask, size = read_mask(path), read_image(picture).shape[1:]
    if mask.shape[1:] != size:
        raise GanverseError(
            f"expected {path} with the size of its image, {size[1]} x {size[0]}, got {mask.shape[2]} x "
            f"{mask.shape[1]}; paint on a layer over the image"
        )
    gray = float(((mask >= _DARK) & (mask <= _LIGHT)).float().mean())
    if gray > _MOST_GRAY or 0 < mask.max() < _DARK:
        raise GanverseError(
            f"expected {path} to be a mask, white (255) on the object and black (0) elsewhere, got gray levels up to "
            f"{round(255 * float(mask.max()))}, {gray:.0%} of the pixels neither dark nor light; save it in black and "
            "white"
        )
    return F.interpolate((mask > 0.5).float()[None], (side, side), mode="area")[0]
