"""Real photos: the re-projected silhouette against a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import device_of
from ganverse.distributed import own_batches
from ganverse.errors import GanverseError
from ganverse.evaluation.metrics import Score, gather_values, masked_l1, scores_of
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.io import PICTURE_SUFFIXES
from ganverse.masks.masker import Masker
from ganverse.reconstruction.photos import FoundObject, Photo, find_object, masked_object, read_mask
from ganverse.reconstruction.refinement import RefinementSettings, refine, silhouette_agreement, view

RESOLUTION = 256
"""Pixels a side at which silhouettes are compared (CMR)."""


@dataclass(frozen=True)
class PhotoFolder:
    """Protocol: a folder of photos, one object each, single image in.

    The square is the object's bounding box as `reconstruct` frames it. With masks (PNGs of the photos' names, white on
    the object) the re-projected silhouette under the predicted camera is compared with them at 256 pixels. Without, a
    masker finds the objects, and there are no scores, only a sheet to look at.
    """

    folder: Path
    masks: Path | None = None
    masker: Masker | None = None

    @cached_property
    def files(self) -> list[Path]:
        """The photos, by name.

        Raises:
            GanverseError: there are none, or masks are missing.
        """
        found = sorted(path for path in self.folder.glob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise GanverseError(f"expected pictures in the folder {self.folder}, found none")
        missing = [path.stem for path in found if self.masks is not None and not self._mask(path).is_file()]
        if missing:
            raise GanverseError(
                f"expected a mask {missing[0]}.png in {self.masks}, found none ({len(missing)} are missing)"
            )
        return found

    def load(self, index: int) -> FoundObject:
        """The object of one of the `files`.

        Raises:
            GanverseError: a file that is no picture; no object in it; neither masks nor a masker.
        """
        path = self.files[index]
        photo = Photo.read(path)
        if self.masks is not None:
            return masked_object(photo, read_mask(self._mask(path), photo))
        if self.masker is None:
            raise GanverseError(f"expected masks or a masker for the photos in {self.folder}, got neither")
        return find_object(replace(photo, pixels=photo.pixels.to(device_of(self.masker))), self.masker)

    def _mask(self, path: Path) -> Path:
        return (self.masks or self.folder) / f"{path.stem}.png"


def reprojection_scores(
    network: InverseGraphicsNetwork,
    count: int,
    load: Callable[[int], FoundObject],
    refinement: RefinementSettings | None = None,
) -> dict[str, Score]:
    """Scores of the photos that `load` gives for 0 .. count - 1; every process calls it.

    iou: of the re-projected silhouette with the mask. l1_masked: RGB inside the mask. *_refined: the same after
    test-time refinement with the photo and its mask, which is no prediction any more.
    """
    batches, device = [], network.start.device
    for indices in own_batches(count, 1):
        one = load(int(indices))
        one = FoundObject(replace(one.photo, pixels=one.photo.pixels.to(device)), one.foreground.to(device), one.box)
        with torch.no_grad():
            seen = network(one.picture(network.config.resolution))
        iou, l1 = _reprojection(network, seen, one)
        found = {"iou": iou, "l1_masked": l1}
        if refinement is not None:
            size = refinement.size
            refined = refine(network, seen, one.picture(size), one.mask(size), refinement)
            found["iou_refined"], found["l1_refined"] = _reprojection(network, refined, one)
        batches.append(found)
    return scores_of(gather_values(batches))


@torch.no_grad()
def _reprojection(
    network: InverseGraphicsNetwork, seen: Reconstruction, one: FoundObject
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Silhouette IoU and masked L1 of the reconstruction under its own camera."""
    mask = (one.mask(RESOLUTION) > 0.5).to(one.foreground)
    rgb = view(network, seen, RESOLUTION).rgb
    return silhouette_agreement(network, seen, mask), masked_l1(rgb, one.picture(RESOLUTION), mask)
