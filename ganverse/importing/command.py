"""`ganverse import-gan`: converts weights of an image GAN trained elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from ganverse.arguments import CommandParser
from ganverse.importing.importer import ImportSettings, import_generator

DESCRIPTION = """\
Convert the generator of a GAN trained elsewhere: StyleGAN1, 2 and 3 from NVIDIA's pickles (PyTorch and TensorFlow),
rosinality's StyleGAN2 and DatasetGAN's StyleGAN1 in PyTorch. The format is detected from the file's contents. Nothing
in the file is executed, and no module that it names is imported.

Writes DIR/NAME.safetensors, and a card with architecture, license and source as DIR/NAME.json and DIR/NAME.md."""
EXAMPLES = """\
examples:
  ganverse import-gan stylegan2-car-config-f.pkl -o generators --crop 512x384
  ganverse import-gan hf://owner/repository/horses.pt -o generators --noise random
  ganverse views generators/stylegan2-car-config-f.safetensors --help    # next step: view codes

docs/import.md lists the supported formats."""


def import_command(arguments: Sequence[str]) -> Path:
    """`ganverse import-gan FILE -o DIR`; returns the file written.

    Raises:
        GanverseError: the file cannot be imported; nothing was written.
    """
    given = _parser().parse_args(list(arguments))
    settings = ImportSettings(**{field.name: getattr(given, field.name) for field in fields(ImportSettings)})
    path, card = import_generator(given.file, given.output, settings)
    height, width = card.config.image_size
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{path}\n{card.architecture}, {width} x {height} px, from: {card.notes}", markup=False)
    console.print(f"license: {card.license}", markup=False)
    return path


def _parser() -> ArgumentParser:
    parser = CommandParser(
        prog="ganverse import-gan",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="a file, or hf://owner/repository/file")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the weights and their card")
    add("--crop", type=_crop, metavar="WxH", help="visible center of the square images, e.g. 512x384 for NVIDIA's cars")
    add(
        "--noise",
        choices=("constant", "random", "none"),
        help="constant: noise planes in the file (default); random: new planes for each image; none",
    )
    add("--truncation", type=float, metavar="PSI", help="pull every w towards the average (default: 1, not at all)")
    add("--view-layers", type=int, metavar="K", help="number of first layers that carry the viewpoint (default: 4)")
    add("--class-index", type=int, metavar="K", help="class of a conditional generator, from 0")
    add("--license", help="license for the card (default: what is known about the file format)")
    return parser


def _crop(text: str) -> tuple[int, int]:
    """Parses WIDTHxHEIGHT to (height, width)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(text) < 12):
        raise ArgumentTypeError(f"expected WIDTHxHEIGHT, got {text!r:.40}")
    return int(height), int(width)
