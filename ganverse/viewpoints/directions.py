"""Content directions: coordinates of w* that a view code leaves with the object although it replaces their layers.

A view code that replaces whole layers turns objects best, but gives them its own height and type, too; one that
replaces single correlated dimensions (the paper) mixes both. A few coordinates c = read^T w* that follow the content
and not the viewpoint separate them: w* + write (c' - c) gives them new values while everything uncorrelated with them
stays. A view code replaces the whole layers, then the object gets its own c back. `style_analysis` finds them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import GanverseError, brief
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.io import pack_tensors, write_atomically
from ganverse.pretrained import read_pinned
from ganverse.viewpoints.view_codes import ViewCodes


@dataclass(frozen=True)
class ContentDirections:
    """read: coordinates are read^T w*, of unit variance. write: how w* moves with them; read^T write = 1."""

    read: Float[Tensor, "styles directions"]
    write: Float[Tensor, "styles directions"]

    def around(self, generator: ImageGenerator) -> SubspaceGenerator:
        """The generator whose first style dimensions are these coordinates, frozen, on the generator's device."""
        device = device_of(generator)
        wrapped = SubspaceGenerator(generator, self.read.to(device), self.write.to(device))
        return wrapped.eval().requires_grad_(False)


def directions_path(codes_path: Path) -> Path:
    """Where the content directions of a file of view codes lie."""
    return codes_path.with_suffix(".safetensors")


def save_directions(path: Path, directions: ContentDirections) -> str:
    """Writes a .safetensors file; returns its sha256."""
    data = pack_tensors({"read": directions.read, "write": directions.write}, half=False)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def open_views(codes_path: Path, generator: ImageGenerator) -> tuple[ImageGenerator, ViewCodes]:
    """The view codes, and `generator` as they require it: inside a `SubspaceGenerator` where they name directions.

    Raises:
        GanverseError: a file is missing or broken, or does not fit the generator.
    """
    codes = ViewCodes.load(codes_path)
    if codes.directions is not None:
        directions = _load_directions(directions_path(codes_path), codes.directions)
        if len(directions.read) != sum(generator.style_sizes):
            raise GanverseError(
                f"expected content directions of {sum(generator.style_sizes)} styles, the generator's, got "
                f"{len(directions.read)} beside {codes_path}; find this generator's views with `ganverse views`"
            )
        generator = directions.around(generator)
    codes.check(generator)
    return generator, codes


def _load_directions(path: Path, sha256: str) -> ContentDirections:
    try:
        tensors = load_tensors(read_pinned(path, sha256))
        return ContentDirections(tensors["read"], tensors["write"])
    except (GanverseError, SafetensorError, KeyError) as error:
        raise GanverseError(
            f"expected the content directions of the view codes beside it in {path}, but {brief(error)}; keep both "
            "files together"
        ) from error
