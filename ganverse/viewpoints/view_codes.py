"""View codes: the style dimensions that determine the viewpoint, and seeds for them, in a hand-editable file.

Paper section 2: w*_v of a latent code determines the viewpoint, the rest of w* is the content. A view code is stored as
the seed of its latent code, which keeps the file small and editable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import torch
import yaml
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError, quoted
from ganverse.generators.protocol import ImageGenerator
from ganverse.io import read_yaml, write_atomically
from ganverse.pretrained import build
from ganverse.random_streams import latents

HEADER = """\
# View codes of a generator (ganverse.viewpoints). You may edit this file: delete a code, or correct an azimuth.
# generator: name or weights' sha256 of the generator of these codes; others are refused.
# view_dims: dimensions of the style vector w* that determine the viewpoint, as ranges with both ends included.
# directions (optional): sha256 of the .safetensors file of the same name, see ganverse/viewpoints/directions.py. Its
#   content coordinates then come first among the dimensions.
# codes: one view each. seed: of the latent code. azimuth: camera position in degrees: 0 in front of the object, 90 at
#   its left side (+x), 180 behind it, counter-clockwise seen from above. Coarse values suffice.
# dropped (optional): seeds that an annotator rejected, see docs/annotate.md.
# uncertain (optional): seeds whose azimuth may be half a turn off; `ganverse annotate` shows them first.
"""
_SEED_LISTS = ("dropped", "uncertain")
_MOST_DIMS, _MOST_SEEDS = 2**20, 2**63


@dataclass(frozen=True)
class ViewCode:
    """A viewpoint: the seed of its latent code and its annotated azimuth in degrees, [0, 360)."""

    seed: int
    azimuth_degrees: float

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _MOST_SEEDS:
            raise GanverseError(f"expected a view code's seed of at least 0, got {quoted(self.seed)}")
        if not 0 <= self.azimuth_degrees < 360:
            raise GanverseError(
                f"expected the azimuth of view code {self.seed} in degrees in [0, 360), got "
                f"{quoted(self.azimuth_degrees)}; correct it"
            )


@dataclass(frozen=True)
class ViewCodes:
    """All view codes of a generator, in the order of their view ids.

    generator: name or sha256 of the generator. view_dims: ascending flat indices into w*. codes: one per view id.
    directions: sha256 of the content directions that these codes need (see `directions.open_views`), or None if
    view_dims are dimensions of w* itself. dropped, uncertain: rejected seeds, and seeds with an unchecked azimuth; for
    annotators only.
    """

    generator: str
    view_dims: tuple[int, ...]
    codes: tuple[ViewCode, ...]
    directions: str | None = None
    dropped: tuple[int, ...] = ()
    uncertain: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.view_dims or list(self.view_dims) != sorted(set(self.view_dims)) or self.view_dims[0] < 0:
            raise GanverseError("expected view_dims to be ascending, distinct style dimensions, and at least one")
        if any(not 0 <= seed < _MOST_SEEDS for seed in (*self.dropped, *self.uncertain)):
            raise GanverseError("expected seeds of at least 0 among dropped and uncertain, got others")
        times = Counter([code.seed for code in self.codes] + list(self.dropped))
        twice = sorted(seed for seed, count in times.items() if count > 1)
        if twice:
            raise GanverseError(f"expected every seed once, but {quoted(twice)} occurs again; delete the copies")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def azimuth_degrees(self) -> Float[Tensor, " views"]:
        """Annotated azimuths by view id, degrees in [0, 360)."""
        return torch.tensor([code.azimuth_degrees for code in self.codes], dtype=torch.float32)

    def check(self, generator: ImageGenerator) -> None:
        """Raises GanverseError unless these codes fit `generator`."""
        total = sum(generator.style_sizes)
        if self.view_dims[-1] >= total:
            raise GanverseError(
                f"expected view_dims below {total}, the generator's number of styles, got {self.view_dims[-1]}; "
                "the file belongs to another generator"
            )

    @property
    def sha256(self) -> str:
        """Hash of what determines the images, without layout, comments, dropped and uncertain seeds."""
        return hashlib.sha256("\n".join(self._lines()).encode() + b"\n").hexdigest()

    def save(self, path: str | Path) -> None:
        """Writes the hand-editable file."""
        lists = [f"{name}: {list(seeds)}" for name in _SEED_LISTS if (seeds := getattr(self, name))]
        write_atomically(Path(path), (HEADER + "\n".join(self._lines() + lists) + "\n").encode())

    def _lines(self) -> list[str]:
        lines = [f"generator: {yaml.safe_dump(self.generator).splitlines()[0]}"]
        lines += [f"view_dims: {dims_to_text(self.view_dims)!r}"]
        lines += [] if self.directions is None else [f"directions: {self.directions}"]
        lines += ["codes:" if self.codes else "codes: []"]
        lines += [f"  - {{seed: {code.seed}, azimuth: {_decimal(code.azimuth_degrees)}}}" for code in self.codes]
        return lines

    @classmethod
    def load(cls, path: str | Path, *, allow_empty: bool = False) -> ViewCodes:
        """Reads the file.

        Args:
            path: of the YAML file.
            allow_empty: whether a file without any code is accepted, as during annotation.

        Raises:
            GanverseError: names the file and the problem.
        """
        document = read_yaml(Path(path))
        try:
            codes = build(ViewCodesFile, document).read()
            if not codes.codes and not allow_empty:
                raise GanverseError("expected at least one view code, got none; annotate some views first")
            return codes
        except GanverseError as error:
            raise GanverseError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Code:
    seed: int
    azimuth: float


@dataclass(frozen=True)
class ViewCodesFile:
    """Content of the YAML file."""

    generator: str
    view_dims: str | int
    codes: tuple[_Code, ...]
    directions: str | None = None
    dropped: tuple[int, ...] | None = None
    uncertain: tuple[int, ...] | None = None

    def read(self) -> ViewCodes:
        """Converts and checks the content."""
        codes = tuple(ViewCode(code.seed, code.azimuth) for code in self.codes)
        lists = (self.dropped or (), self.uncertain or ())
        return ViewCodes(self.generator, dims_from_text(str(self.view_dims)), codes, self.directions, *lists)


def _decimal(degrees: float) -> str:
    """Millionths of a degree without an exponent, which YAML would read as text; below 360."""
    return f"{min(degrees, 359.999999):.6f}".rstrip("0").rstrip(".")


def dims_to_text(dims: Sequence[int]) -> str:
    """Ascending dimensions as ranges with both ends included: (0, 1, 2, 7) is "0-2, 7"."""
    runs: list[list[int]] = []
    for dim in dims:
        if runs and dim == runs[-1][1] + 1:
            runs[-1][1] = dim
        else:
            runs.append([dim, dim])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def dims_from_text(text: str) -> tuple[int, ...]:
    """Inverse of `dims_to_text`; GanverseError for anything but a list of ranges below a million."""
    dims: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() and len(end) < 8 for end in ends):
            raise GanverseError(f"expected view_dims as ranges such as '0-255, 300', got {quoted(text)}")
        first, last = int(ends[0]), int(ends[-1])
        if last >= _MOST_DIMS or len(dims) + last - first >= _MOST_DIMS:
            raise GanverseError(f"expected view_dims below {_MOST_DIMS}, got {quoted(text)}")
        dims += range(first, last + 1)
    return tuple(dims)


def layer_dims(style_sizes: Sequence[int], layers: int) -> tuple[int, ...]:
    """All style dimensions of the first `layers` layers: the paper's viewpoint code w*_1..4."""
    if not 1 <= layers <= len(style_sizes):
        raise GanverseError(f"expected between 1 and {len(style_sizes)} view layers, got {layers}")
    return tuple(range(list(accumulate(style_sizes))[layers - 1]))


def view_latents(seeds: Sequence[int], z_dim: int) -> Float[Tensor, "seeds z_dim"]:
    """Latent codes of view codes; each is a pure function of its seed (number `seed` of stream 0)."""
    return latents(0, seeds, z_dim)


def view_styles(
    generator: ImageGenerator, codes: ViewCodes, *, device: torch.device | str = "cpu"
) -> Float[Tensor, "views dims"]:
    """View dimensions of w* by view id; computed row by row, so that a row never depends on the others."""
    codes.check(generator)
    with torch.no_grad():
        rows = [
            generator.styles(generator.map(view_latents([code.seed], generator.z_dim).to(device)))
            for code in codes.codes
        ]
    return torch.cat(rows)[:, list(codes.view_dims)]


def mix_styles(
    content: Float[Tensor, "batch styles"], view: Float[Tensor, "batch dims"], view_dims: Sequence[int]
) -> Float[Tensor, "batch styles"]:
    """Replaces the view dimensions of the content's w*: the same object from another side."""
    return content.index_copy(1, _columns(tuple(view_dims), content.device), view)


@lru_cache(maxsize=16)  # a training step mixes several times, and each upload would make the host wait for the GPU
def _columns(dims: tuple[int, ...], device: torch.device) -> Int[Tensor, " dims"]:
    return torch.tensor(dims, device=device)
