"""Open a file of view codes together with the generator it is for."""

from __future__ import annotations

from pathlib import Path

from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.viewpoints.directions import load_directions
from ganverse.viewpoints.view_codes import ViewCodes


def directions_path(codes_path: Path) -> Path:
    """Where the content directions of a file of view codes lie."""
    return codes_path.with_suffix(".safetensors")


def open_views(codes_path: Path, generator: ImageGenerator) -> tuple[ImageGenerator, ViewCodes]:
    """The view codes, and `generator` as they presume it: inside a `SubspaceGenerator` where they name directions.

    Raises:
        GanverseError: a file is missing or broken, or does not fit the generator.
    """
    codes = ViewCodes.load(codes_path)
    if codes.directions is not None:
        path = directions_path(codes_path)
        directions = load_directions(path, codes.directions)
        if len(directions.read) != sum(generator.style_sizes):
            raise GanverseError(
                f"expected content directions of {sum(generator.style_sizes)} styles, the generator's, got "
                f"{len(directions.read)} in {path}; find this generator's views with `ganverse views`"
            )
        generator = SubspaceGenerator(generator, directions.read, directions.write).eval().requires_grad_(False)
    codes.check(generator)
    return generator, codes
