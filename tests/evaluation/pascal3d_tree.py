"""A small Pascal3D+ tree in the real layout: photos, VOC lists and masks, MATLAB annotations, segkps polygons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (120, 80)
BOX = (21, 31, 80, 60)
"""Pixels from 1, corners included, as in VOC: columns 20 .. 79 and rows 30 .. 59 of an array."""


def anchors(visible: int) -> dict[str, object]:
    names = [f"part_{index}" for index in range(12)]
    places = [[30.0, 40.0] if index < visible else [] for index in range(12)]
    return {name: {"location": place, "status": 1 if place else 2} for name, place in zip(names, places, strict=True)}


def car(box: tuple[int, int, int, int] = BOX, visible: int = 8, **flags: int) -> dict[str, object]:
    state = {"difficult": 0, "truncated": 0, "occluded": 0, **flags}
    return {"class": "car", "bbox": np.array(box, dtype=float), "anchors": anchors(visible), **state}


def other(name: str) -> dict[str, object]:
    return {**car(), "class": name}


def save_record(root: Path, name: str, objects: list[dict[str, object]]) -> None:
    """An image with a red car in the box, its annotation and its instance mask."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    pixels[30:60, 20:80] = (180, 30, 30)
    images, annotations = root / "Images" / "car_pascal", root / "Annotations" / "car_pascal"
    voc = root / "PASCAL" / "VOCdevkit" / "VOC2012"
    masks = voc / "SegmentationObject"
    for folder in (images, annotations, masks, voc / "ImageSets" / "Main"):
        folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(images / f"{name}.jpg")
    record = {"filename": f"{name}.jpg", "imgsize": [*SIZE, 3], "objects": objects if len(objects) > 1 else objects[0]}
    savemat(annotations / f"{name}.mat", {"record": record})
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[30:60, 20:80] = 2
    labels[0:10, 0:10] = 1
    labels[29, 20:80] = 255
    Image.fromarray(labels).save(masks / f"{name}.png")


def save_tree(root: Path) -> Path:
    """Two objects count: 2008_000002 number 1, 2008_000003 number 2."""
    save_record(root, "2008_000001", [car()])  # a training image
    save_record(root, "2008_000002", [car()])
    save_record(root, "2008_000003", [other("person"), car(), car(truncated=1)])
    save_record(root, "2008_000004", [car(occluded=1)])
    save_record(root, "2008_000005", [car(difficult=1)])
    save_record(root, "2008_000006", [car(visible=3)])
    save_record(root, "2008_000007", [car(box=(90, 5, 118, 20))])  # no instance lies there
    save_record(root, "2008_000008", [other("bus")])
    lists = root / "PASCAL" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main"
    (lists / "train.txt").write_text("2008_000001\n2007_000032\n")
    return root


def save_polygons(path: Path) -> Path:
    """segkps/car.mat: a triangle instead of the rectangle, for one of the objects."""
    segmentations = {
        "voc_image_id": np.array(["2008_000001", "2008_000002"], dtype=object),
        "voc_rec_id": np.array([1, 1]),
        "poly_x": _cells([20.0, 79.0, 20.0], [20.0, 79.0, 20.0]),
        "poly_y": _cells([30.0, 30.0, 59.0], [30.0, 30.0, 59.0]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"segmentations": segmentations})
    return path


def _cells(*rows: list[float]) -> np.ndarray:
    cells = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        cells[index] = np.array(row)
    return cells
