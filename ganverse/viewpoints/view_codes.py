"""View codes: the style dimensions that carry the viewpoint, and the seeds found for it, in a hand-editable file.

Paper section 2: w*_v of a latent code fixes the viewpoint, the rest of w* is the content. A view code is kept as the
seed of its latent code, so the file stays small enough to be edited by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError, brief
from ganverse.generators.protocol import ImageGenerator
from ganverse.io import write_atomically
from ganverse.random_streams import latents

HEADER = """\
# View codes of a generator (ganverse.viewpoints). Edit freely: delete a line to drop a view, correct an azimuth.
# generator: the generator these codes were found in (name or sha256 of its weights); another one is refused.
# view_dims: the dimensions of the style vector w* that carry the viewpoint, as ranges with both ends included.
# directions (may be left out): sha256 of the .safetensors file of the same name beside this one, see
#   ganverse/viewpoints/directions.py; the content coordinates that they put before w* are then the first dimensions.
# anchor (may be left out): seed of the view that objects are chosen for, see ganverse/viewpoints/anchoring.py.
# codes: one view each. seed: the latent code is drawn from it. azimuth: where the camera stands, in degrees, 0 in
#   front of the object, 90 at its left side (+x), 180 behind it, counter-clockwise seen from above; coarse is enough.
# dropped (may be left out): seeds that were looked at and rejected, see ganverse/viewpoints/annotation.py.
# unsure (may be left out): seeds whose azimuth a program has guessed and may have put half a turn off: look at these.
"""


Views = TypeVar("Views", bound="ViewCodes")


@dataclass(frozen=True)
class ViewCode:
    """One viewpoint: the seed of its latent code and its annotated azimuth in degrees, in [0, 360)."""

    seed: int
    azimuth_degrees: float

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise GanverseError(f"expected a view code's seed to be 0 or more, got {self.seed}")
        if not 0 <= self.azimuth_degrees < 360:
            raise GanverseError(
                f"expected the azimuth of view code {self.seed} in degrees in [0, 360), got {self.azimuth_degrees}; "
                "correct it"
            )


@dataclass(frozen=True)
class ViewCodes:
    """All view codes of one generator, in the order of their view ids.

    generator: name or sha256 of the generator. view_dims: ascending flat indices into w*. codes: one per view id.
    anchor: seed of the view that objects are chosen for (`anchoring`), or None. directions: sha256 of the file of
    content directions that these codes presume (`opening`), or None where view_dims are dimensions of w* itself.
    """

    unfinished: ClassVar[bool] = False

    generator: str
    view_dims: tuple[int, ...]
    codes: tuple[ViewCode, ...]
    anchor: int | None = None
    directions: str | None = None

    def __post_init__(self) -> None:
        if not self.view_dims or list(self.view_dims) != sorted(set(self.view_dims)) or self.view_dims[0] < 0:
            raise GanverseError("expected view_dims to be ascending, distinct style dimensions, and at least one")
        if not self.codes and not self.unfinished:
            raise GanverseError("expected at least one view code, got none; annotate some views first")
        seeds = [code.seed for code in self.codes] + list(self.dropped)
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            raise GanverseError(f"expected every view code's seed once, but {twice} occur again; delete the copies")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Seeds that an annotator has rejected; only `annotation.UnfinishedViews` keeps them."""
        return ()

    @property
    def unsure(self) -> tuple[int, ...]:
        """Seeds whose azimuth nobody has checked; only `annotation.UnfinishedViews` keeps them."""
        return ()

    @property
    def azimuth_degrees(self) -> Float[Tensor, " views"]:
        """Annotated azimuths by view id, degrees in [0, 360)."""
        return torch.tensor([code.azimuth_degrees for code in self.codes], dtype=torch.float32)

    def check(self, generator: ImageGenerator, name: str | None = None) -> None:
        """Raise GanverseError unless these codes belong to `generator` (and to its `name` or sha256, where given)."""
        if name is not None and name != self.generator:
            raise GanverseError(
                f"expected view codes of generator {name!r}, got a file for {self.generator!r}; annotate this generator"
            )
        total = sum(generator.style_sizes)
        if self.view_dims[-1] >= total:
            raise GanverseError(
                f"expected view_dims below {total}, the generator's number of styles, got {self.view_dims[-1]}; "
                "the file belongs to another generator"
            )

    @property
    def sha256(self) -> str:
        """Of what the file says, whatever its layout and comments."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the hand-editable file."""
        write_atomically(Path(path), (HEADER + self._text()).encode())

    def _text(self) -> str:
        lines = [f"generator: {yaml.safe_dump(self.generator).splitlines()[0]}"]
        lines += [f"view_dims: {dims_to_text(self.view_dims)!r}"]
        lines += [] if self.directions is None else [f"directions: {self.directions}"]
        lines += [] if self.anchor is None else [f"anchor: {self.anchor}"]
        lines += ["codes:" if self.codes else "codes: []"]
        lines += [f"  - {{seed: {code.seed}, azimuth: {code.azimuth_degrees:.10g}}}" for code in self.codes]
        lines += [f"{name}: {list(seeds)}" for name in SEED_LISTS if (seeds := getattr(self, name))]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_document(cls: type[Views], document: object) -> Views:
        """What a file holds; its lists of seeds for annotators are left out."""
        fields, _, _ = document_fields(document)
        return cls(*fields)

    @classmethod
    def load(cls: type[Views], path: str | Path) -> Views:
        """Read the file; GanverseError names the file and what is wrong in it."""
        try:
            return cls.from_document(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise GanverseError(f"expected a view-code file at {path}, but it cannot be read ({error})") from error
        except yaml.YAMLError as error:
            raise GanverseError(f"expected YAML in {path}, got {brief(error)}") from error
        except GanverseError as error:
            raise GanverseError(f"{path}: {error}") from error


Fields = tuple[str, tuple[int, ...], tuple[ViewCode, ...], int | None, str | None]
SEED_LISTS = ("dropped", "unsure")


def document_fields(document: object) -> tuple[Fields, tuple[int, ...], tuple[int, ...]]:
    """The fields of `ViewCodes` in their order, and `SEED_LISTS`; GanverseError says what is wrong."""
    optional = {"anchor", "directions", *SEED_LISTS}
    fields = _mapping(document, {"generator", "view_dims", "codes"}, "the file", optional=optional)
    entries = fields["codes"]
    if not isinstance(entries, list):
        raise GanverseError("expected codes to be a list of {seed: ..., azimuth: ...}")
    codes = [_mapping(entry, {"seed", "azimuth"}, "every view code") for entry in entries]
    found = (
        str(fields["generator"]),
        dims_from_text(str(fields["view_dims"])),
        tuple(_view_code(code["seed"], code["azimuth"]) for code in codes),
        None if fields.get("anchor") is None else _seed(fields["anchor"], "the anchor"),
        None if fields.get("directions") is None else str(fields["directions"]),
    )
    dropped, unsure = (_seeds(fields.get(name) or [], name) for name in SEED_LISTS)
    return found, dropped, unsure


def _seeds(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise GanverseError(f"expected {name} to be a list of seeds, got {value!r}")
    return tuple(_seed(seed, f"every seed of {name}") for seed in value)


def _view_code(seed: object, azimuth: object) -> ViewCode:
    if isinstance(azimuth, bool) or not isinstance(azimuth, (int, float)):
        raise GanverseError(f"expected the azimuth of view code {seed} in degrees in [0, 360), got {azimuth!r}")
    return ViewCode(_seed(seed, "a view code's seed"), float(azimuth))


def _seed(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GanverseError(f"expected {what} to be an integer of 0 or more, got {value!r}")
    return value


def _mapping(value: object, keys: set[str], what: str, *, optional: Set[str] = frozenset()) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) - optional != keys:
        came = sorted(map(str, value)) if isinstance(value, dict) else repr(value)
        raise GanverseError(f"expected {what} to have exactly the keys {sorted(keys)}, got {came}")
    return value


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
    """The inverse of `dims_to_text`; raises GanverseError for anything that is not a list of ranges."""
    dims: list[int] = []
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.strip().isdecimal() for end in ends):
            raise GanverseError(f"expected view_dims as ranges such as '0-255, 300', got {text!r}")
        dims += range(int(ends[0]), int(ends[-1]) + 1)
    return tuple(dims)


def layer_dims(style_sizes: Sequence[int], layers: int) -> tuple[int, ...]:
    """All style dimensions of the first `layers` layers: the paper's viewpoint code w*_1..4."""
    if not 1 <= layers <= len(style_sizes):
        raise GanverseError(f"expected between 1 and {len(style_sizes)} view layers, got {layers}")
    return tuple(range(list(accumulate(style_sizes))[layers - 1]))


def view_latents(seeds: Sequence[int], z_dim: int) -> Float[Tensor, "seeds z_dim"]:
    """The latent codes of view codes, each a pure function of its seed: number `seed` of stream 0."""
    return latents(0, seeds, z_dim)


def view_styles(
    generator: ImageGenerator, codes: ViewCodes, *, device: torch.device | str = "cpu"
) -> Float[Tensor, "views dims"]:
    """What the view dimensions of w* hold, by view id; row by row, so that a row never depends on its neighbors."""
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
    """The content's w* with its view dimensions replaced: the same object from another side."""
    composed = content.clone()
    composed[:, list(view_dims)] = view
    return composed
