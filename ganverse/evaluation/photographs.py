"""Real photos: IoU of the re-projected silhouette with a mask, for a folder of photos or Pascal3D+ (CMR protocol)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.ops import box_iou, masks_to_boxes

from ganverse.devices import device_of
from ganverse.errors import GanverseError, brief
from ganverse.evaluation.matlab_files import read_matlab
from ganverse.evaluation.metrics import Score, joined, masked_l1, scores_of
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.io import LARGEST_PICTURE, list_images, regular
from ganverse.masks.masker import Masker
from ganverse.reconstruction.photos import Box, FoundObject, Photo, find_object, masked_object, read_mask
from ganverse.reconstruction.refinement import RefinementSettings, refine, silhouette_agreement, view
from ganverse.reconstruction.texture import predict

RESOLUTION = 256
"""Size in pixels at which silhouettes are compared (CMR)."""
VOC = Path("PASCAL/VOCdevkit/VOC2012")
PADDING = 0.05
"""Margin on every side of an object's box, relative to the box's longer side (CMR)."""
_FARTHEST = 1e5  # pixels
_HIDING = ("difficult", "truncated", "occluded")
VISIBLE_ANCHORS = 4
"""Minimum number of visible keypoints of an object (CMR)."""


def reprojection_scores(
    network: InverseGraphicsNetwork,
    count: int,
    load: Callable[[int], FoundObject],
    refinement: RefinementSettings | None = None,
) -> dict[str, Score]:
    """Scores of the photos that `load` returns for 0 .. count - 1.

    iou: of the re-projected silhouette and the mask. l1_masked: RGB inside the mask. *_refined: the same after
    test-time refinement with the photo and its mask, which is no longer a prediction.
    """
    batches, device = [], network.start.device
    for one in map(load, range(count)):
        one = replace(one, photo=one.photo.to(device), foreground=one.foreground.to(device))
        seen = predict(network, one)
        iou, l1 = _reprojection(network, seen, one)
        found = {"iou": iou, "l1_masked": l1}
        if refinement is not None:
            size = refinement.size
            refined = refine(network, seen, one.picture(size), one.mask(size), refinement)
            found["iou_refined"], found["l1_refined"] = _reprojection(network, refined, one)
        batches.append(found)
    return scores_of(joined(batches))


@torch.no_grad()
def _reprojection(
    network: InverseGraphicsNetwork, seen: Reconstruction, one: FoundObject
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Silhouette IoU and masked L1 of the reconstruction under its own camera."""
    mask = (one.mask(RESOLUTION) > 0.5).to(one.foreground)
    rgb = view(network, seen, RESOLUTION).rgb
    return silhouette_agreement(network, seen, mask), masked_l1(rgb, one.picture(RESOLUTION), mask)


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of photos, one object each, reconstructed from single images.

    The square is the object's bounding box, framed as by `reconstruct`. With masks (PNGs with the photos' names, white
    on the object) the re-projected silhouette under the predicted camera is scored at 256 pixels. Without masks, alpha
    or a masker shows the objects, and there is a figure but no score.
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
        found = list_images(self.folder)
        if not found:
            raise GanverseError(f"expected images in the folder {self.folder}, found none")
        missing = [path.stem for path in found if self.masks is not None and not self._mask(path).is_file()]
        if missing:
            raise GanverseError(
                f"expected a mask {missing[0]}.png in {self.masks}, found none ({len(missing)} are missing)"
            )
        return found

    @property
    def names(self) -> list[str]:
        """Names of the photos."""
        return [path.stem for path in self.files]

    def load(self, index: int) -> FoundObject:
        """The object of one of the `files`.

        Raises:
            GanverseError: not an image, no object in it, or neither mask, alpha nor masker.
        """
        path = self.files[index]
        photo = Photo.read(path).to(device_of(self.masker))
        if self.masks is not None:
            return masked_object(photo, read_mask(self._mask(path), photo))
        return find_object(photo, self.masker)

    def _mask(self, path: Path) -> Path:
        return (self.masks or self.folder) / f"{path.stem}.png"


@dataclass(frozen=True)
class Annotation:
    """One object. number: its position in its record, from 1. box: x1, y1, x2, y2 in pixels."""

    name: str
    number: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Pascal3D:
    """Pascal3D+ release 1.1, test split, single images, after CMR (Kanazawa et al. 2018).

    Evaluates objects of the category in the VOC part (not the ImageNet part), in images outside VOC's train list, that
    are neither difficult, truncated nor occluded and have at least 4 visible keypoints and a mask. The square is the
    annotated box, 5 % larger on every side, made square. The score is the IoU of the mask and the re-projected
    silhouette under the predicted camera, both thresholded at one half at 256 pixels.

    Differences to CMR: it also drops objects that its structure from motion does not explain (needs its own code), and
    renders softly. Masks are segkps polygons if given, else VOC's own.

    root: of the release, with the layout

        Annotations/car_pascal/ID.mat     record.objects: class, bbox, truncated, occluded, difficult, anchors
        Images/car_pascal/ID.jpg
        PASCAL/VOCdevkit/VOC2012/ImageSets/Main/train.txt    the VOC images that are NOT evaluated
        PASCAL/VOCdevkit/VOC2012/SegmentationObject/ID.png   instance masks, of some of the images

    masks: the CMR authors' segkps/CATEGORY.mat, polygons of all objects; or None.
    """

    root: Path
    category: str = "car"
    masks: Path | None = None
    _polygons: dict[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self._annotations.is_dir():
            raise GanverseError(
                f"expected Pascal3D+ with Annotations/{self.category}_pascal below {self.root}, found none; give the "
                "folder PASCAL3D+_release1.1"
            )
        if self.masks is not None:
            self._polygons.update(_polygons(self.masks))

    @property
    def _annotations(self) -> Path:
        return self.root / "Annotations" / f"{self.category}_pascal"

    @cached_property
    def objects(self) -> list[Annotation]:
        """All evaluated objects, ordered by name."""
        train = self._train_list()
        files = [path for path in sorted(self._annotations.glob("*.mat")) if path.stem not in train]
        found = [one for path in files for one in self._usable(path) if self._has_mask(one)]
        if not found:
            raise GanverseError(
                f"expected objects with masks in Pascal3D+ below {self.root}, found none; give segkps/"
                f"{self.category}.mat as pascal3d_masks, or VOC's SegmentationObject below {VOC}"
            )
        return found

    @property
    def names(self) -> list[str]:
        """Names of the objects' images."""
        return [one.name for one in self.objects]

    def load(self, index: int) -> FoundObject:
        """Photo, mask and square of one of the `objects`.

        Raises:
            GanverseError: the image is missing or unreadable.
        """
        one = self.objects[index]
        photo, (width_on_disk, _) = Photo.read(self._image_path(one)), self._size(one)
        height, width = photo.pixels.shape[2:]
        scale = width / width_on_disk
        mask = Image.fromarray(self._mask(one)).resize((width, height), Image.Resampling.BILINEAR)
        x1, y1, x2, y2 = (edge * scale for edge in one.box)
        side = max(1, round(max(x2 - x1, y2 - y1) * (1 + 2 * PADDING)))
        box = Box(round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2), side)
        return FoundObject(photo, torch.from_numpy(np.array(mask)).float()[None, None] / 255, box)

    def _train_list(self) -> frozenset[str]:
        path = self.root / VOC / "ImageSets" / "Main" / "train.txt"
        try:
            return frozenset(line.split()[0] for line in regular(path).read_text().splitlines() if line.strip())
        except OSError as error:
            raise GanverseError(f"expected VOC's train list at {path}, but it cannot be read ({error})") from error

    def _usable(self, path: Path) -> Iterator[Annotation]:
        try:
            records = read_matlab(path)["record"]["objects"]
            for number, one in enumerate([records] if isinstance(records, dict) else records, start=1):
                flags = [np.size(one.get(name, 0)) and int(one.get(name, 0)) for name in _HIDING]
                if one["class"] != self.category or any(flags) or _visible(one.get("anchors")) < VISIBLE_ANCHORS:
                    continue
                x1, y1, x2, y2 = (float(edge) for edge in one["bbox"])
                if not (-_FARTHEST <= x1 < x2 <= _FARTHEST and -_FARTHEST <= y1 < y2 <= _FARTHEST):
                    raise ValueError(f"a box from {x1:g}, {y1:g} to {x2:g}, {y2:g}")
                yield Annotation(path.stem, number, (x1, y1, x2, y2))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise GanverseError(
                f"expected a record of Pascal3D+ in {path}, got {brief(error) or type(error).__name__}; restore the "
                "file from the release"
            ) from error

    def _image_path(self, one: Annotation) -> Path:
        return self.root / "Images" / f"{self.category}_pascal" / f"{one.name}.jpg"

    def _size(self, one: Annotation) -> tuple[int, int]:
        """Width and height on disk; large photos are read at fewer pixels."""
        with _opened(self._image_path(one)) as file:
            return file.size

    def _has_mask(self, one: Annotation) -> bool:
        if self.masks is not None:
            return (one.name, one.number) in self._polygons
        return bool(self._instance_path(one).is_file() and self._mask(one).any())

    def _instance_path(self, one: Annotation) -> Path:
        return self.root / VOC / "SegmentationObject" / f"{one.name}.png"

    def _mask(self, one: Annotation) -> np.ndarray:
        """255 on the object, at the size on disk."""
        if self.masks is None:
            with _opened(self._instance_path(one)) as file:
                return _instance(np.array(file), one.box)
        canvas = Image.new("L", self._size(one))
        corners = [(float(x), float(y)) for x, y in self._polygons[one.name, one.number]]
        ImageDraw.Draw(canvas).polygon(corners, fill=255)
        return np.array(canvas)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image of the release at its size on disk."""
    try:
        with Image.open(regular(path), formats=("JPEG", "PNG")) as file:
            if file.width * file.height > LARGEST_PICTURE:
                raise ValueError("too many pixels")
            yield file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GanverseError(f"expected an image at {path}, but it cannot be read ({brief(error)})") from error


def _visible(anchors: object) -> int:
    """Number of keypoints with a position in the image."""
    if not isinstance(anchors, Mapping):
        return 0
    return sum(isinstance(one, Mapping) and np.size(one.get("location", ())) == 2 for one in anchors.values())


def _polygons(path: Path) -> dict[tuple[str, int], np.ndarray]:
    """Corners [n, 2] by image and object number."""
    try:
        found = read_matlab(path)["segmentations"]
        names, numbers = np.atleast_1d(found["voc_image_id"]), np.atleast_1d(found["voc_rec_id"])
        corners = [
            np.stack([np.ravel(x), np.ravel(y)], axis=1).astype(float).clip(-_FARTHEST, _FARTHEST)
            for x, y in zip(found["poly_x"], found["poly_y"], strict=True)
        ]
        if any(len(polygon) < 3 or np.isnan(polygon).any() for polygon in corners):
            raise ValueError("a polygon without corners")
        return {(str(n), int(k)): c for n, k, c in zip(names, numbers, corners, strict=True)}
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise GanverseError(f"expected segmentations as in CMR's segkps in {path}, got {brief(error)}") from error


def _instance(labels: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The instance of a VOC segmentation whose box fits best, if the IoU is at least one half."""
    instances = [labels == label for label in np.unique(labels) if label not in (0, 255)]
    if not instances:
        return np.zeros_like(labels, dtype=np.uint8)
    # VOC's corners are pixels counted from 1, both inside the box; torchvision's are edges.
    found = masks_to_boxes(torch.from_numpy(np.stack(instances))) + torch.tensor([0, 0, 1, 1])
    overlap = box_iou(found, torch.tensor([box]) - torch.tensor([1, 1, 0, 0]))[:, 0]
    best = int(overlap.argmax())
    return (instances[best] * (overlap[best] > 0.5).numpy() * 255).astype(np.uint8)
