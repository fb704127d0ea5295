"""Pascal3D+ in its own layout: who is evaluated, with which square and mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ganverse.errors import GanverseError
from ganverse.evaluation.matlab_files import read_matlab
from ganverse.evaluation.photographs import Pascal3D, _instance
from tests.evaluation.pascal3d_tree import BOX, car, save_polygons, save_record, save_tree


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tree(tmp_path_factory.mktemp("pascal3d"))


def test_whole_unhidden_objects_of_other_images_than_those_of_training_count(root: Path) -> None:
    found = Pascal3D(root).objects
    assert [(one.name, one.number) for one in found] == [("2008_000002", 1), ("2008_000003", 2)]
    assert found[0].box == BOX


def test_the_border_between_instances_is_no_instance() -> None:
    """VOC draws it as 255 round every object; a loose box fits the border better than the object."""
    labels = np.zeros((40, 60), np.uint8)
    labels[9:31, 9:51] = 255
    labels[10:30, 10:50] = 3
    assert np.array_equal(_instance(labels, (10.0, 10.0, 51.0, 31.0)), (labels == 3) * np.uint8(255))


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": np.array([])},
        {"bbox": np.array([1.0, 2.0])},
        {"bbox": np.array([np.nan] * 4)},
        {"bbox": np.array([80.0, 60.0, 21.0, 31.0])},
        {"bbox": np.array([0.0, 0.0, 1e30, 1e30])},
        {"bbox": "words"},
        {"occluded": "yes"},
    ],
    ids=str,
)
def test_records_with_fields_that_make_no_sense(wrong: dict[str, object], tmp_path: Path) -> None:
    save_tree(tmp_path)
    save_record(tmp_path, "2008_000009", [{**car(), **wrong}])
    with pytest.raises(GanverseError, match=r"expected a record of Pascal3D\+ in .*2008_000009.mat"):
        _ = Pascal3D(tmp_path).objects


def test_empty_flags_and_anchors_count_as_none(tmp_path: Path) -> None:
    save_tree(tmp_path)
    save_record(tmp_path, "2008_000009", [{**car(), "truncated": np.array([])}])
    save_record(tmp_path, "2008_000010", [{**car(), "anchors": np.array([])}])
    assert [one.name for one in Pascal3D(tmp_path).objects][-1] == "2008_000009"


@pytest.mark.parametrize("field", ["record", "objects", "class", "bbox"])
def test_records_without_a_field(field: str, tmp_path: Path) -> None:
    save_tree(tmp_path)
    one = {key: value for key, value in car().items() if key != field}
    record = {} if field == "objects" else {"objects": one}
    savemat(
        tmp_path / "Annotations" / "car_pascal" / "2008_000002.mat", {"x" if field == "record" else "record": record}
    )
    with pytest.raises(GanverseError, match=r"expected a record of Pascal3D\+"):
        _ = Pascal3D(tmp_path).objects


def test_logical_matrices_are_read_and_complex_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.mat"
    savemat(path, {"flags": np.array([[True, False]])})
    assert np.ravel(read_matlab(path)["flags"]).tolist() == [1, 0]
    savemat(path, {"numbers": np.array([[1 + 2j]])})
    with pytest.raises(GanverseError, match="complex"):
        read_matlab(path)


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
