"""Real photos: the re-projected silhouette against a mask, and what a person should look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from ganverse.distributed import own_batches
from ganverse.errors import GanverseError
from ganverse.evaluation.metrics import Accumulator, Score, masked_l1
from ganverse.evaluation.pascal3d import Pascal3D
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.masks.masker import Masker
from ganverse.reconstruction.command import PICTURES
from ganverse.reconstruction.photos import FoundObject, Photo, find_object, masked_object, read_mask
from ganverse.reconstruction.refinement import RefinementSettings, refine, silhouette_agreement, view

RESOLUTION = 256
"""Pixels a side at which silhouettes are compared (CMR)."""


@dataclass(frozen=True)
class PhotoFolder:
    """Protocol: a folder of photos, one object each, single image in.

    The square is the object's bounding box as `reconstruct` frames it. With masks (PNGs of the photos' names, white on
    the object) the re-projected silhouette under the predicted camera is compared with them at 256 pixels; without,
    a source of masks finds the objects and there are no numbers, only a sheet to look at.
    """

    folder: Path
    masks: Path | None = None

    @cached_property
    def files(self) -> list[Path]:
        """The pictures, by name.

        Raises:
            GanverseError: there are none, or masks are missing.
        """
        found = sorted(path for path in self.folder.glob("*") if path.suffix.lower() in PICTURES)
        if not found:
            raise GanverseError(f"expected pictures in the folder {self.folder}, found none")
        missing = [path.stem for path in found if self.masks is not None and not self._mask(path).is_file()]
        if missing:
            raise GanverseError(
                f"expected a mask {missing[0]}.png in {self.masks}, found none ({len(missing)} are missing)"
            )
        return found

    def load(self, path: Path, masker: Masker | None = None, device: torch.device | str = "cpu") -> FoundObject:
        """One photo's object. device: of the masker.

        Raises:
            GanverseError: a file that is no picture; no object in it; neither masks nor a source of them.
        """
        photo = Photo.read(path)
        if self.masks is not None:
            return masked_object(photo, read_mask(self._mask(path), photo))
        if masker is None:
            raise GanverseError(f"expected masks or a source of them for the photos in {self.folder}, got neither")
        return find_object(replace(photo, pixels=photo.pixels.to(device)), masker)

    def _mask(self, path: Path) -> Path:
        return (self.masks or self.folder) / f"{path.stem}.png"


def folder_scores(
    folder: PhotoFolder, network: InverseGraphicsNetwork, refinement: RefinementSettings | None
) -> dict[str, Score]:
    """Scores of a folder with masks; every process calls it."""
    return reprojection_scores(network, len(folder.files), lambda i: folder.load(folder.files[i]), refinement)


def pascal3d_scores(
    dataset: Pascal3D, network: InverseGraphicsNetwork, refinement: RefinementSettings | None
) -> dict[str, Score]:
    """Scores of Pascal3D+'s test split; every process calls it."""
    return reprojection_scores(network, len(dataset.objects), lambda i: dataset.load(dataset.objects[i]), refinement)


def reprojection_scores(
    network: InverseGraphicsNetwork,
    count: int,
    load: Callable[[int], FoundObject],
    refinement: RefinementSettings | None,
) -> dict[str, Score]:
    """iou: of the re-projected silhouette with the mask. l1_masked: RGB inside the mask.

    *_refined: the same after test-time refinement with the photo and its mask, which is no prediction any more.
    """
    names = ["iou", "l1_masked"] + (["iou_refined", "l1_refined"] if refinement else [])
    found = Accumulator(*names)
    for indices in own_batches(count, 1):
        one = load(int(indices))
        one = FoundObject(_on(one.photo, network), one.foreground.to(network.start.device), one.box)
        with torch.no_grad():
            seen = network(one.picture(network.config.resolution))
        _add(found, names[:2], network, seen, one)
        if refinement:
            size = refinement.size
            _add(found, names[2:], network, refine(network, seen, one.picture(size), one.mask(size), refinement), one)
    return found.scores()


@torch.no_grad()
def _add(
    found: Accumulator, names: Sequence[str], network: InverseGraphicsNetwork, seen: Reconstruction, one: FoundObject
) -> None:
    mask = (one.mask(RESOLUTION) > 0.5).to(one.foreground)
    drawn = view(network, seen, RESOLUTION)
    found.add(names[0], silhouette_agreement(network, seen, mask))
    found.add(names[1], masked_l1(drawn.rgb, one.picture(RESOLUTION), mask))


def _on(photo: Photo, network: InverseGraphicsNetwork) -> Photo:
    return replace(photo, pixels=photo.pixels.to(network.start.device))
