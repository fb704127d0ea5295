"""`ganverse import-gan`: weights of an image GAN that was trained elsewhere become a generator of ours."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ganverse.importing.generators import ImportSettings, import_generator

DESCRIPTION = """StyleGAN1 and StyleGAN2 from NVIDIA's pickles (PyTorch and TensorFlow), rosinality's and DatasetGAN's
PyTorch files, and generators of ours. The kind is told from the contents; nothing in the file is executed."""


def import_command(arguments: Sequence[str]) -> Path:
    """`ganverse import-gan FILE -o DIR`; the file written.

    Raises:
        GanverseError: the file cannot be imported; nothing has been written then.
    """
    given = _parser().parse_args(list(arguments))
    settings = ImportSettings(
        noise=given.noise,
        truncation=given.truncation,
        crop=given.crop,
        view_layers=given.view_layers,
        average=given.average,
        license=given.license,
    )
    path, card = import_generator(given.file, given.output, settings, given.sha256)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{path}\n{card.architecture}, {card.config.resolution} px, from: {card.notes}", markup=False)
    console.print(f"license: {card.license}", markup=False)
    return path


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="ganverse import-gan", description=DESCRIPTION)
    parser.add_argument(
        "file", metavar="FILE", help="a file, https://... (with --sha256) or hf://owner/repository/file"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for weights and card")
    parser.add_argument("--sha256", help="what the file must have; required for https")
    parser.add_argument(
        "--crop", type=_crop, metavar="WxH", help="visible center of the square, 512x384 for car pictures"
    )
    parser.add_argument(
        "--noise",
        choices=("constant", "random", "none"),
        default="constant",
        help="constant: the planes in the file, always the same; random: new ones per sample; none (%(default)s)",
    )
    parser.add_argument(
        "--truncation", type=float, default=1.0, metavar="PSI", help="of every w (%(default)s: not at all)"
    )
    parser.add_argument("--view-layers", type=int, default=4, help="first layers that carry the view (%(default)s)")
    parser.add_argument("--average", type=Path, metavar="NPY", help="average of w, for files that do not hold it")
    parser.add_argument("--license", help="for the card, where you know better than the file's family tells")
    return parser


def _crop(text: str) -> tuple[int, int]:
    """Width x height, as pictures are spoken of, to (height, width), as tensors have it."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ArgumentTypeError(f"expected WIDTHxHEIGHT, got {text!r}")
    return int(height), int(width)
