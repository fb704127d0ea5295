"""MultiViewFolder: multi-view images of any origin from a folder, and the writer of such folders.

    FOLDER/views.yaml            VIEW: azimuth in degrees, coarse values suffice
    FOLDER/OBJECT/VIEW.png       RGB, or RGBA whose alpha is the mask
    FOLDER/OBJECT/VIEW-mask.png  white on the object; needed only without an alpha mask

Works for turntable photos, renders, and images or masks of other programs. All views of one name share a camera.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START, MultiViewFiles
from ganverse.data.multi_view_shards import SampleOrder
from ganverse.data.sampling import random_numbers
from ganverse.errors import FROM_1, GanverseError, check_ranges
from ganverse.io import png_bytes, read_image_with_alpha, read_mask, read_yaml, write_atomically, write_together

VIEWS = "views.yaml"
MASK = "-mask"
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class MultiViewFolder(MultiViewFiles):
    """Multi-view images from a folder `OBJECT/VIEW.png` with masks and coarse azimuths (see the module).

    An object needs at least `views` of the views. Images are padded to squares and scaled to `resolution`.

    Args:
        folder: contains views.yaml and one folder per object.
        resolution: image size in pixels after scaling.
        views: distinct views per sample (paper: 2).
        batch_size: objects per process and step, each with `views` images.
        validation_objects: number of held-out objects, the last by name. Default: an eighth, at most 64.
        seed: of the order of objects and the choice of views.
        num_workers: loader processes that decode batches ahead; 0 decodes between steps.
    """

    def __init__(
        self,
        folder: Path,
        resolution: int = 64,
        views: int = 2,
        batch_size: int = 16,
        validation_objects: int | None = None,
        seed: int = 0,
        num_workers: int = 2,
    ) -> None:
        self.folder, self._resolution, self.views, self.seed = Path(folder), resolution, views, seed
        numbers = {"resolution": resolution, "views": views, "seed": seed}
        check_ranges(numbers, resolution=FROM_1, views=FROM_1)
        count = len(self.objects)
        held_out = min(count // 8, 64) if validation_objects is None else validation_objects
        super().__init__(batch_size, held_out, num_workers)
        if count <= self.validation_objects:
            raise GanverseError(
                f"expected more than {self.validation_objects} objects, which are held out, in {folder}, got {count}"
            )

    @cached_property
    def azimuths(self) -> Mapping[str, float]:
        """Azimuth in degrees of every view by name, in the file's order."""
        path = self.folder / VIEWS
        found = read_yaml(path)
        if not isinstance(found, dict) or not found or not all(map(_is_angle, found.values())):
            raise GanverseError(f"expected lines `VIEW: azimuth in degrees` in {path}, got something else")
        return {str(name): float(azimuth) for name, azimuth in found.items()}

    @cached_property
    def objects(self) -> list[dict[int, Path]]:
        """For each object, by name, its images by view id."""
        ids = {name: number for number, name in enumerate(self.azimuths)}
        folders = sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = []
        for folder in folders:
            pictures = [p for p in sorted(folder.iterdir()) if _is_picture(p)]
            unknown = [picture.name for picture in pictures if picture.stem not in ids]
            if unknown:
                raise GanverseError(
                    f"expected the views of {self.folder / VIEWS} in {folder}, got {unknown[0]}; add its azimuth there"
                )
            if not pictures:
                continue
            by_view = {ids[picture.stem]: picture for picture in pictures}
            if len(by_view) < len(pictures):
                raise GanverseError(f"expected one image of each view in {folder}, got {_double(pictures)} twice")
            if len(by_view) < self.views:
                raise GanverseError(f"expected at least {self.views} views in {folder}, got {len(by_view)}")
            found.append(by_view)
        if not found:
            raise GanverseError(f"expected a folder per object in {self.folder}, got none")
        return found

    @property
    def azimuth_degrees(self) -> tuple[float, ...]:
        """Azimuths from views.yaml."""
        return tuple(self.azimuths.values())

    @property
    def resolution(self) -> int:
        """As set."""
        return self._resolution

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of all images, masks and settings."""
        digest = hashlib.sha256(json.dumps([self.azimuths, self._resolution, self.views, self.seed]).encode())
        for pictures in self.objects:
            for path in pictures.values():
                for file in (path, _mask_of(path)):
                    digest.update(str(file.relative_to(self.folder)).encode())
                    digest.update(hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"")
        return {"samples": digest.hexdigest()}

    def setup(self, stage: str) -> None:
        """Reads every image once, so that a missing mask is reported before training."""
        for pictures in self.objects:
            for path in pictures.values():
                self._read(path)

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """See `MultiViewData.make`. Sample i shows one object; (seed, i) determines its views."""
        numbers = self._order(indices)
        rows = [self._sample(number, index) for number, index in zip(numbers, indices.tolist(), strict=True)]
        images, masks, view_ids = (torch.stack(part) for part in zip(*rows, strict=True))
        styles = torch.zeros(len(rows), self.views, 0)
        batch = MultiViewBatch(images, masks, view_ids, indices.cpu(), styles)
        return batch.to(device or indices.device)

    def preview(self, objects: int) -> MultiViewBatch:
        """The first held-out objects (all if there are fewer), or training objects if none are held out."""
        if self.validation_objects:
            return super().preview(min(objects, self.validation_objects))
        return self.make(torch.arange(min(objects, len(self.objects))))

    @cached_property
    def _order(self) -> SampleOrder:
        return SampleOrder(len(self.objects) - self.validation_objects, self.seed)

    def _sample(self, number: int, index: int) -> tuple[Tensor, Tensor, Tensor]:
        pictures = self.objects[number]
        held_out = index >= VALIDATION_START
        chosen = sorted(pictures)[: self.views]
        if not held_out:
            chosen = random_numbers(self.seed, index, 0).permutation(sorted(pictures))[: self.views].tolist()
        read = [self._read(pictures[view]) for view in chosen]
        images, masks = (torch.stack(part) for part in zip(*read, strict=True))
        return images, masks, torch.tensor(chosen)

    def _read(self, path: Path) -> tuple[Float[Tensor, "3 side side"], Float[Tensor, "1 side side"]]:
        image, alpha = read_image_with_alpha(path)
        if alpha is None:
            mask_path = _mask_of(path)
            if not mask_path.is_file():
                raise GanverseError(
                    f"expected a mask for {path}: an alpha channel that varies, or {mask_path.name} beside it"
                )
            alpha = read_mask(mask_path)
            if alpha.shape[1:] != image.shape[1:]:
                raise GanverseError(
                    f"expected {mask_path} to have the size of {path.name}, got {tuple(alpha.shape[1:])}"
                )
        both = _square(torch.cat([image, alpha]), self._resolution)
        return both[:3], both[3:]


class FolderWriter:
    """Writes samples in the layout that `MultiViewFolder` reads.

    azimuth_degrees: of every view code; views are named by number.

    Raises:
        GanverseError: the folder holds images of other views.
    """

    def __init__(self, folder: Path, azimuth_degrees: Sequence[float]) -> None:
        self.folder = folder
        names = [f"{view:03d}" for view in range(len(azimuth_degrees))]
        self._names = names
        text = yaml.safe_dump(dict(zip(names, map(float, azimuth_degrees), strict=True)), sort_keys=False)
        path = folder / VIEWS
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise GanverseError(
                f"expected {folder} to be empty or to contain images of these views, got others in {path}; choose "
                "another folder"
            )
        write_atomically(path, text.encode())

    def has(self, index: int, views: int) -> bool:
        """Whether a sample exists with all its views and masks."""
        return len(list((self.folder / f"{index:09d}").glob("*.png"))) >= 2 * views

    def write(self, batch: MultiViewBatch) -> None:
        """Writes one folder per object, with VIEW-mask.png beside every VIEW.png."""
        for row in range(len(batch)):
            folder, files = self.folder / f"{int(batch.sample_index[row]):09d}", {}
            for view, image, mask in zip(
                batch.view_ids[row].tolist(), batch.images[row], batch.masks[row], strict=True
            ):
                files[folder / f"{self._names[view]}.png"] = png_bytes(image)
                files[folder / f"{self._names[view]}{MASK}.png"] = png_bytes(mask.expand(3, -1, -1))
            write_together(files)


def _is_angle(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _double(pictures: Sequence[Path]) -> str:
    names = [picture.stem for picture in pictures]
    return next(name for name in names if names.count(name) > 1)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and not path.stem.endswith(MASK)


def _mask_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}{MASK}.png")


def _square(image: Float[Tensor, "channels height width"], side: int) -> Float[Tensor, "channels side side"]:
    """Scales the longer side to `side`, then pads with zeros to a square."""
    height, width = image.shape[1:]
    scale = side / max(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    small = F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    return F.pad(small, (left, side - size[1] - left, top, side - size[0] - top))
