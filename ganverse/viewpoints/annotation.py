"""View codes while somebody annotates them: what was kept, what was dropped, and who changed the file meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from ganverse.errors import GanverseError
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, document_fields


@dataclass(frozen=True)
class Decision:
    """About the view code of a seed: kept at an azimuth, dropped, or (neither) undecided again."""

    seed: int
    azimuth_degrees: float | None = None
    drop: bool = False

    def __post_init__(self) -> None:
        if self.azimuth_degrees is not None and self.drop:
            raise GanverseError(f"expected view code {self.seed} to be kept or dropped, got both")


@dataclass(frozen=True)
class UnfinishedViews(ViewCodes):
    """`ViewCodes` of which there may be none yet, together with what annotators want to know.

    rejected: seeds that were looked at and dropped. doubted: seeds whose azimuth is a guess that should be looked at.
    """

    unfinished: ClassVar[bool] = True
    rejected: tuple[int, ...] = field(default=())
    doubted: tuple[int, ...] = field(default=())

    @property
    def dropped(self) -> tuple[int, ...]:
        """The rejected seeds."""
        return self.rejected

    @property
    def unsure(self) -> tuple[int, ...]:
        """The doubted seeds."""
        return self.doubted

    @classmethod
    def from_document(cls, document: object) -> UnfinishedViews:
        """What a file holds, its lists of seeds too."""
        fields, dropped, unsure = document_fields(document)
        return cls(*fields, rejected=dropped, doubted=unsure)

    def decided(self, decision: Decision) -> UnfinishedViews:
        """With one decision changed, which is beyond doubt; a code that is kept anew comes last."""
        seed, azimuth = decision.seed, decision.azimuth_degrees
        rejected = tuple(other for other in self.rejected if other != seed) + ((seed,) if decision.drop else ())
        code = None if azimuth is None else ViewCode(seed, azimuth)
        codes = tuple(code if code and old.seed == seed else old for old in self.codes if code or old.seed != seed)
        if code and code not in codes:
            codes += (code,)
        doubted = tuple(other for other in self.doubted if other != seed)
        return replace(self, codes=codes, rejected=rejected, doubted=doubted)


@dataclass(frozen=True)
class Revision:
    """The contents of an annotation file and their name: two readers of the same name have seen the same file."""

    views: UnfinishedViews
    name: str


class AnnotationFile:
    """The file itself is the only memory, so an editor, a second tab and a second server are all noticed alike.

    empty: what a file that is not there stands for; its generator and view_dims are those the file must have.

    Raises:
        GanverseError: the file is broken or belongs to another generator or other dimensions.
    """

    def __init__(self, path: Path, empty: UnfinishedViews) -> None:
        self.path = path
        self._empty = empty
        self.read()

    def read(self) -> Revision:
        """The file as it is now."""
        if not self.path.exists():
            return Revision(self._empty, "")
        views = UnfinishedViews.load(self.path)
        if views.generator != self._empty.generator:
            raise GanverseError(
                f"expected view codes of generator {self._empty.generator[:12]}... in {self.path}, got those of "
                f"{views.generator[:12]}...; give another file with --output"
            )
        if (views.view_dims, views.directions) != (self._empty.view_dims, self._empty.directions):
            raise GanverseError(
                f"expected {self.path} to replace the same dimensions of w* as this annotation, got others; leave "
                "--layers out to go on with the file's own, or give another file with --output"
            )
        return Revision(views, hashlib.sha256(self.path.read_bytes()).hexdigest())

    def write(self, views: UnfinishedViews) -> Revision:
        """Replaces the file atomically."""
        views.save(self.path)
        return Revision(views, hashlib.sha256(self.path.read_bytes()).hexdigest())
