"""Pascal3D+ in its own layout: who is evaluated, with which square and mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganverse.errors import GanverseError
from ganverse.evaluation.photographs import Pascal3D
from tests.evaluation.pascal3d_tree import BOX, save_polygons, save_tree


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tree(tmp_path_factory.mktemp("pascal3d"))


def test_whole_unhidden_objects_of_other_images_than_those_of_training_count(root: Path) -> None:
    found = Pascal3D(root).objects
    assert [(one.name, one.number) for one in found] == [("2008_000002", 1), ("2008_000003", 2)]
    assert found[0].box == BOX


def test_square_and_mask(root: Path) -> None:
    data = Pascal3D(root)
    one = data.load(0)
    assert one.box.side == round(59 * 1.1)
    assert abs(one.box.left + one.box.side / 2 - (21 + 80) / 2) <= 1
    assert abs(one.box.top + one.box.side / 2 - (31 + 60) / 2) <= 1
    assert one.foreground.shape == (1, 1, 80, 120)
    assert int((one.foreground > 0.5).sum()) == 30 * 60
    mask, picture = one.mask(64) > 0.5, one.picture(64)
    assert (picture[:, 0:1] - picture[:, 1:2])[mask].min() > 0.2  # red inside
    assert float(mask.float().mean()) == pytest.approx(30 * 60 / one.box.side**2, rel=0.05)


def test_polygons_of_the_cmr_authors(root: Path, tmp_path: Path) -> None:
    data = Pascal3D(root, masks=save_polygons(tmp_path / "segkps" / "car.mat"))
    (one,) = data.objects
    assert one.name == "2008_000002"
    area = int((data.load(0).foreground > 0.5).sum())
    assert area == pytest.approx(30 * 60 / 2, rel=0.1)


def test_other_folders_and_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="Annotations/car_pascal below"):
        Pascal3D(tmp_path)
    (tmp_path / "car.mat").write_text("no MATLAB")
    with pytest.raises(GanverseError, match="expected a MATLAB file"):
        Pascal3D(root, masks=tmp_path / "car.mat")
    (tmp_path / "Annotations" / "car_pascal").mkdir(parents=True)
    with pytest.raises(GanverseError, match="train list"):
        _ = Pascal3D(tmp_path).objects
    lists = tmp_path / "PASCAL" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").touch()
    with pytest.raises(GanverseError, match="objects with masks"):
        _ = Pascal3D(tmp_path).objects
