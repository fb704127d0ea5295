"""Re-projection scores of photos with masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.evaluation.evaluate import evaluate_loaded
from ganverse.evaluation.models import Models
from ganverse.evaluation.photographs import Pascal3D, PhotoFolder, reprojection_scores
from ganverse.evaluation.settings import Photographs
from ganverse.masks.segmenter import Segmenter
from ganverse.reconstruction.photos import FoundObject, Photo, bounding_square
from ganverse.reconstruction.refinement import RefinementSettings, view
from tests.evaluation.pascal3d_tree import save_tree
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_inverse
from tests.reconstruction.toys import save_mask, save_photo

NETWORK = tiny_inverse().network
FEW = RefinementSettings(steps=4, size=48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    photos, masks = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("masks")
    for name in ("b", "a"):
        save_photo(photos / f"{name}.jpg")
        save_mask(masks / f"{name}.png")
    return photos, masks


def test_the_silhouette_of_the_network_itself_agrees() -> None:
    """A mask made of the untrained network's own re-render: IoU 1, and colors equal to the render."""
    with torch.no_grad():
        drawn = view(NETWORK, NETWORK(torch.rand(1, 3, 32, 32)), 256)
    mask = (drawn.face_index >= 0)[:, None].float()
    box = replace(bounding_square(mask[0, 0] > 0.5, 0.5, 0.5), left=0, top=0, side=256)
    one = FoundObject(Photo("own", drawn.rgb), mask, box)
    scores = reprojection_scores(NETWORK, 1, lambda _: one)
    assert set(scores) == {"iou", "l1_masked"}
    assert scores["iou"].value > 0.99


def test_a_folder_with_masks(folders: tuple[Path, Path]) -> None:
    folder = PhotoFolder(*folders)
    assert [path.name for path in folder.files] == ["a.jpg", "b.jpg"]
    scores = reprojection_scores(NETWORK, 2, folder.load, FEW)
    assert set(scores) == {"iou", "l1_masked", "iou_refined", "l1_refined"}
    assert scores["iou"].count == 2
    assert 0 < scores["iou"].value < scores["iou_refined"].value < 1
    assert scores["l1_refined"].value < scores["l1_masked"].value


def test_pascal3d(tmp_path: Path) -> None:
    scores = reprojection_scores(NETWORK, 2, Pascal3D(save_tree(tmp_path)).load)
    assert scores["iou"].count == 2
    assert 0 < scores["iou"].value < 1


def test_in_the_report(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    photographs = Photographs(*folders, pascal3d=save_tree(tmp_path / "pascal3d"), refine=0)
    settings = replace(TINY_SETTINGS, photographs=photographs)
    output = tmp_path / "report"
    metrics = evaluate_loaded(Models(inverse=tiny_inverse()), output, replace(settings, world_objects=0))
    assert set(metrics) == {f"{part}/{name}" for part in ("photos", "pascal3d") for name in ("iou", "l1_masked")}
    assert sorted(path.name for path in (output / "figures").iterdir()) == ["pascal3d-sheet.png", "photos-sheet.png"]
    for name in ("photos", "pascal3d"):
        assert f'id="{name}-sheet"' in (output / "index.html").read_text()


def test_without_masks_a_masker_finds_the_objects(folders: tuple[Path, Path]) -> None:
    found = PhotoFolder(folders[0], masker=Segmenter.from_pretrained()).load(0)
    assert 0.05 < float((found.foreground > 0.5).float().mean()) < 0.9


def test_missing_masks_and_photos(folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, _ = folders
    with pytest.raises(GanverseError, match=r"mask a.png in .*\(2 are missing\)"):
        _ = PhotoFolder(photos, tmp_path).files
    with pytest.raises(GanverseError, match="expected images"):
        _ = PhotoFolder(tmp_path).files
    with pytest.raises(GanverseError, match="expected a mask of the object"):
        PhotoFolder(photos).load(0)
