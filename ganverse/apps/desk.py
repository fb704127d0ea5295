"""What the annotation page works on: candidates with their pictures, and the file that the decisions go to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.apps.png import png
from ganverse.errors import GanverseError
from ganverse.generators.protocol import ImageGenerator
from ganverse.io import image_grid
from ganverse.viewpoints.annotation import AnnotationFile, Decision, Revision, decide
from ganverse.viewpoints.directions import open_views
from ganverse.viewpoints.proposal import CandidateSettings, images_of_views, rank_candidates
from ganverse.viewpoints.view_codes import layer_dims


@dataclass(frozen=True)
class Candidate:
    """A column of the page: a view code, how much its objects agree (None: not measured), and its pictures."""

    seed: int
    agreement: float | None
    picture: bytes


def open_annotation(
    generator: ImageGenerator, name: str, path: Path, layers: int | None
) -> tuple[ImageGenerator, AnnotationFile]:
    """The file to annotate, and the generator as its view codes presume it (behind content directions, if any).

    layers: how many first layers a new file's codes replace; None takes the generator's own, or what the file says.

    Raises:
        GanverseError: the file is broken, or does not fit the generator or `layers`.
    """
    if layers is not None or not path.exists():
        dims = layer_dims(generator.style_sizes, layers or generator.view_layers)
        return generator, AnnotationFile(path, ViewCodes(name, dims, ()))
    found = ViewCodes.load(path, allow_empty=True)
    file = AnnotationFile(path, ViewCodes(name, found.view_dims, (), found.directions))
    if found.codes:
        generator, _ = open_views(path, generator)
    elif found.directions is not None:
        raise GanverseError(f"expected view codes beside the directions that {path} names, got none; restore them")
    found.check(generator)
    return generator, file


class Desk:
    """Candidates of one generator and the decisions about them; every method may be called from any thread."""

    def __init__(
        self,
        generator: ImageGenerator,
        file: AnnotationFile,
        settings: CandidateSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        if isinstance(generator, nn.Module):
            generator = generator.to(device)
        self._generator, self._settings, self._device = generator, settings, device
        self.file = file
        self._lock = threading.Lock()
        self._tried = 0
        views = file.read().views
        self._dims = views.view_dims
        self.candidates: dict[int, Candidate] = {}
        self._add_seeds([code.seed for code in views.codes] + list(views.dropped))
        self.propose()

    def propose(self) -> list[Candidate]:
        """The next pool of seeds, ranked; those that are already there are left out."""
        with self._lock:
            seeds = list(range(self._tried, self._tried + self._settings.pool))
            self._tried += self._settings.pool
            pictures = self._pictures(seeds)
            ranked = rank_candidates(seeds, pictures, self._settings)
            fresh = [
                Candidate(seed, agreement, column(pictures[seeds.index(seed)]))
                for seed, agreement in zip(ranked.seeds, ranked.agreement, strict=True)
                if seed not in self.candidates
            ]
            self.candidates.update({candidate.seed: candidate for candidate in fresh})
            return fresh

    def read(self) -> Revision:
        """The file as it is now; codes that an editor has put there become candidates too."""
        with self._lock:
            revision = self.file.read()
            self._add_seeds([code.seed for code in revision.views.codes])
            return revision

    def decide(self, revision: str, decisions: Sequence[Decision]) -> tuple[bool, Revision]:
        """Saves decisions; False, and nothing is saved, if the file is no longer the one called `revision`."""
        with self._lock:
            strangers = [decision.seed for decision in decisions if decision.seed not in self.candidates]
            if strangers:
                raise GanverseError(f"expected seeds of candidates on this page, got {strangers}; reload the page")
            now = self.file.read()
            if now.name != revision:
                self._add_seeds([code.seed for code in now.views.codes])
                return False, now
            views = now.views
            for decision in decisions:
                views = decide(views, decision)
            return True, self.file.write(views)

    def _add_seeds(self, seeds: Sequence[int]) -> None:
        missing = [seed for seed in seeds if seed not in self.candidates]
        if missing:
            for seed, images in zip(missing, self._pictures(missing), strict=True):
                self.candidates[seed] = Candidate(seed, None, column(images))

    def _pictures(self, seeds: Sequence[int]) -> Float[Tensor, "seeds objects 3 height width"]:
        return images_of_views(self._generator, self._dims, seeds, self._settings)


def column(images: Float[Tensor, "objects 3 height width"], largest: int = 128) -> bytes:
    """A PNG of the objects one below the other, each at most `largest` pixels wide."""
    width = images.shape[3]
    if width > largest:
        shape = (round(images.shape[2] * largest / width), largest)
        images = torch.nn.functional.interpolate(images, shape, mode="bilinear", antialias=True)
    return png(image_grid(images, 1))
