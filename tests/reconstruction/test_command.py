"""`ganverse reconstruct` from the outside, and which file each photo gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.reconstruction.command import plan
from ganverse.reconstruction.reconstructor import Reconstructor
from tests.reconstruction.toys import save_mask, save_photo, save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")


def call(*arguments: object) -> int:
    return cli.main(["reconstruct", *map(str, arguments)])


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_one_photo(tmp_path: Path, weights: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    photo, target = save_photo(tmp_path / "a.png"), tmp_path / f"car.{ending}"
    assert call(photo, "-o", target, "--weights", weights) == 0
    assert f"car.{ending}" in capsys.readouterr().out
    (mesh,) = trimesh.load_scene(target).geometry.values()
    assert np.ptp(mesh.vertices[:, 2]) == pytest.approx(2 * 0.98, rel=0.05)
    assert len(mesh.faces) == 320
    with Image.open(tmp_path / "car-views.png") as views:
        assert views.size == (6 * 192, 192)


def test_a_folder_with_a_bad_photo(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    for name in ("a.png", "b.jpg"):
        save_photo(photos / name)
        save_mask(masks / f"{name[0]}.png")
    (photos / "bad.png").write_text("no picture")
    (photos / "notes.txt").write_text("not looked at")
    assert call(photos, "-o", tmp_path / "out", "--weights", weights, "--masks", masks, "--turntable", "png") == 1
    complaint = capsys.readouterr().err
    assert "skipped" in complaint
    assert "bad.png" in complaint
    assert "2 of 3 photos" in complaint
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}{rest}" for name in "ab" for rest in ("-turntable.png", "-views.png", ".glb")
    ]


def test_refinement_follows_the_photo(tmp_path: Path, weights: Path) -> None:
    photo, mask = save_photo(tmp_path / "a.png"), save_mask(tmp_path / "mask.png")
    for name, steps in (("plain", 0), ("refined", 8)):
        assert (
            call(photo, "-o", tmp_path / f"{name}.glb", "--weights", weights, "--masks", mask, "--refine", steps) == 0
        )
    plain, refined = (trimesh.load_mesh(tmp_path / f"{name}.glb") for name in ("plain", "refined"))
    assert plain.vertices.shape == refined.vertices.shape
    assert np.abs(plain.vertices - refined.vertices).max() > 1e-3
    assert refined.volume > 0


def test_three_lines_of_python(tmp_path: Path, weights: Path) -> None:
    reconstructor = Reconstructor.open(weights)
    done = reconstructor(save_photo(tmp_path / "a.png"))
    done.save(tmp_path / "car.usdz")
    assert (tmp_path / "car.usdz").stat().st_size > 1000
    assert 0 < done.agreement() < 1
    assert done.turntable(frames=2, size=16).shape == (2, 3, 16, 16)


def test_names(tmp_path: Path) -> None:
    files = [Path("a.png"), Path("a.jpg"), Path("x/b.png"), Path("y/b.png"), Path("c.png")]
    targets = [job.target.name for job in plan(files, tmp_path / "out", None)]
    assert targets == ["a-png.glb", "a-jpg.glb", "b-png-1.glb", "b-png-2.glb", "c.glb"]
    several = plan([Path("a.png"), Path("b.png")], Path("car.obj"), None)
    assert [job.target.name for job in several] == ["car-a.obj", "car-b.obj"]
    (alone,) = plan([Path("a.png")], Path("car.obj"), Path("m.png"))
    assert (alone.target, alone.mask) == (Path("car.obj"), Path("m.png"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GanverseError, match="pictures in the folder"):
        plan([tmp_path / "empty"], Path("car.glb"), None)
    with pytest.raises(GanverseError, match="--masks to be a folder"):
        plan(files, Path("car.glb"), Path("m.png"))


BAD = [
    (["{tmp}/absent.jpg", "-o", "{tmp}/a.glb"], "absent.jpg"),
    (["{tmp}/text.png", "-o", "{tmp}/a.glb"], "expected a picture"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb"], "covering 2 %"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.stl"], ".usdc, got"),
    (["{tmp}/sky.png", "-o", "{tmp}/a", "--format", "stl"], ".usdc, got"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--weights", "{tmp}/none.safetensors"], "none.json"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--masks", "{tmp}/none.png"], "none.png"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--refine", "-3"], "0 steps of refinement"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments[3:]) or m for arguments, m in BAD])
def test_one_bad_photo_is_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (64, 64), (120, 160, 230)).save(tmp_path / "sky.png")
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    given += [] if "--weights" in given else ["--weights", str(weights)]
    assert call(*given) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sky.png", "text.png"]
