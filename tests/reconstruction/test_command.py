"""`ganverse reconstruct` from the outside, and which file each photo gets."""

from __future__ import annotations

import doctest
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trimesh
from PIL import Image

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.reconstruction import editor, reconstructor
from ganverse.reconstruction.command import plan
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
    assert call(photos, "-o", tmp_path / "out", "--weights", weights, "--masks", masks, "--turntable") == 1
    complaint = capsys.readouterr().err
    assert "skipped" in complaint
    assert "bad.png" in complaint
    assert "2 of 3 photos" in complaint
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}{rest}" for name in "ab" for rest in ("-turntable.gif", "-views.png", ".glb")
    ]


def test_refinement_follows_the_photo(tmp_path: Path, weights: Path) -> None:
    photo, mask = save_photo(tmp_path / "a.png"), save_mask(tmp_path / "mask.png")
    for name, *flags in (("plain",), ("refined", "--refine", 8, "--hypotheses")):
        assert call(photo, "-o", tmp_path / f"{name}.glb", "--weights", weights, "--masks", mask, *flags) == 0
    plain, refined = (trimesh.load_mesh(tmp_path / f"{name}.glb") for name in ("plain", "refined"))
    assert plain.vertices.shape == refined.vertices.shape
    assert np.abs(plain.vertices - refined.vertices).max() > 1e-3
    assert refined.volume > 0


@pytest.mark.parametrize("module", [editor, reconstructor])
def test_the_docstrings_three_lines_run(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_photo(tmp_path / "photo.jpg")
    found = doctest.testmod(module, raise_on_error=True)
    assert found.attempted == 3


def test_names(tmp_path: Path) -> None:
    files = [Path("a.png"), Path("x/b.jpg")]
    jobs = plan(files, tmp_path / "out", Path(), "obj")
    assert [(job.target.name, job.mask) for job in jobs] == [("a.obj", Path("a.png")), ("b.obj", Path("b.png"))]
    (alone,) = plan([Path("a.png")], Path("car.obj"), Path("m.png"))
    assert (alone.target, alone.mask) == (Path("car.obj"), Path("m.png"))
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (([tmp_path / "empty"], Path("out"), None), "images in the folder"),
        ((files, Path("out"), Path("m.png")), "--masks to be a folder for 2 photos, got m.png"),
        ((files, Path("car.glb"), None), "--output to be a folder for 2 photos, got car.glb"),
        (([Path("a.png"), Path("a.jpg")], Path("out"), None), "out/a.glb would overwrite"),
        (([Path("a.png"), Path("a-views.png")], Path("out"), None, "obj"), "out/a-views.png would overwrite"),
    ):
        with pytest.raises(GanverseError, match=message):
            plan(*arguments)


BAD = [
    (["{tmp}/absent.jpg", "-o", "{tmp}/a.glb"], "absent.jpg"),
    (["{tmp}/text.png", "-o", "{tmp}/a.glb"], "expected an image"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb"], "covering at least 2 %"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.stl"], ".usdc, got"),
    (["{tmp}/sky.png", "-o", "{tmp}/a", "--format", "stl"], "invalid choice: 'stl'"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--weights", "{tmp}/none.safetensors"], "none.json"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--masks", "{tmp}/none.png"], "none.png"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--refine", "-3"], "steps to be at least 0"),
    (["{tmp}/sky.png", "-o", "{tmp}/a.glb", "--device", "cuda:99"], "--device"),
    (["{tmp}/sky.png", "-o", "{tmp}/sky.obj"], "sky.png would overwrite"),
    (["{tmp}", "-o", "{tmp}", "--format", "obj"], "would overwrite"),
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
