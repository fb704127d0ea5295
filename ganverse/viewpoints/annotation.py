"""View codes during annotation: decisions about codes, and the file that others may change meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from ganverse.errors import GanverseError
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes


@dataclass(frozen=True)
class Decision:
    """About the view code of a seed: kept at an azimuth, dropped, or (neither) undecided again."""

    seed: int
    azimuth_degrees: float | None = None
    drop: bool = False

    def __post_init__(self) -> None:
        if self.azimuth_degrees is not None and self.drop:
            raise GanverseError(f"expected view code {self.seed} to be kept or dropped, got both")


def decide(views: ViewCodes, decision: Decision) -> ViewCodes:
    """The view codes after one decision; its seed is no longer uncertain. A code that is kept anew comes last."""
    seed, azimuth = decision.seed, decision.azimuth_degrees
    dropped = tuple(other for other in views.dropped if other != seed) + ((seed,) if decision.drop else ())
    code = None if azimuth is None else ViewCode(seed, azimuth)
    codes = tuple(code if code and old.seed == seed else old for old in views.codes if code or old.seed != seed)
    if code and code not in codes:
        codes += (code,)
    uncertain = tuple(other for other in views.uncertain if other != seed)
    return replace(views, codes=codes, dropped=dropped, uncertain=uncertain)


@dataclass(frozen=True)
class Revision:
    """The contents of an annotation file and their name: two readers of the same name have seen the same file."""

    views: ViewCodes
    name: str


class AnnotationFile:
    """The file itself is the only memory, so an editor, a second tab and a second server are all noticed alike.

    empty: what a missing file stands for; an existing one must have the same generator, dimensions and directions.

    Raises:
        GanverseError: the file is broken or belongs to another generator or other dimensions.
    """

    def __init__(self, path: Path, empty: ViewCodes) -> None:
        self.path = path
        self._empty = empty
        self.read()

    def read(self) -> Revision:
        """The file as it is now."""
        if not self.path.exists():
            return Revision(self._empty, "")
        views = ViewCodes.load(self.path, allow_empty=True)
        if views.generator != self._empty.generator:
            raise GanverseError(
                f"expected view codes of generator {self._empty.generator[:12]}... in {self.path}, got those of "
                f"{views.generator[:12]}...; give another file with --output"
            )
        if (views.view_dims, views.directions) != (self._empty.view_dims, self._empty.directions):
            raise GanverseError(
                f"expected {self.path} to replace the same dimensions of w* as this annotation, got others; omit "
                "--layers to keep the file's own, or give another file with --output"
            )
        return Revision(views, self._name())

    def write(self, views: ViewCodes) -> Revision:
        """Replaces the file atomically."""
        views.save(self.path)
        return Revision(views, self._name())

    def _name(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()
