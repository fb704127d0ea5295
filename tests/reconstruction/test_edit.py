"""`ganverse edit` with the weights inside the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.io import save_image
from ganverse.neural_renderer.refinement import render_refined
from ganverse.pretrained import SHIPPED
from ganverse.reconstruction.edit import Editor, borrowed, edit_command
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.neural_renderer.toys import toy_scenes

WEIGHTS, INVERSE = SHIPPED / "stylegan-r-car.safetensors", SHIPPED / "inverse-car.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    _, pictures, _ = world_samples(5, torch.arange(2), CarWorldGenerator(64))
    paths = [folder / f"{name}.png" for name in ("one", "two")]
    for path, picture in zip(paths, pictures, strict=True):
        save_image(picture, path)
    return paths


def test_a_sheet_of_one_photo_with_the_background_of_another(photos: list[Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sub" / "sheet.png"
    written = edit_command([str(photos[0]), "-o", str(sheet), "--background", str(photos[1]), "--steps", "1"])
    assert written == sheet
    with Image.open(sheet) as file:
        assert file.height > 2 * 128  # the photo's row and the borrower's
        assert file.width > 10 * 128


def test_refinement_comes_nearer_to_the_photo(photos: list[Path]) -> None:
    editor = Editor.open(WEIGHTS, INVERSE, refines=False)
    picture, scenes = editor.read(photos[0])
    read, refined = (render_refined(editor.renderer, editor.refined(picture, scenes, steps)) for steps in (0, 8))
    assert (refined - picture).abs().mean() < 0.95 * (read - picture).abs().mean()


def test_parts_are_borrowed_and_the_rest_stays() -> None:
    scenes, lender = toy_scenes(1, seed=0), toy_scenes(1, seed=1)
    found = borrowed(scenes, {"texture": lender})
    assert torch.equal(found.texture, lender.texture)
    assert torch.equal(found.vertices, scenes.vertices)
    assert torch.equal(found.background, scenes.background)
    assert borrowed(scenes, {}).vertices is scenes.vertices


def test_mistakes_are_one_sentence(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = tmp_path / "blank.png"
    save_image(torch.full((3, 64, 64), 0.5), blank)
    for arguments, expected in (
        ([str(photos[0]), "-o", "sheet.jpg"], ".png"),
        ([str(photos[0]), "-o", "sheet.png", "--steps", "-1"], "--steps"),
        ([str(tmp_path / "none.png"), "-o", str(tmp_path / "a.png"), "--steps", "0"], "none.png"),
        ([str(blank), "-o", str(tmp_path / "a.png"), "--steps", "0"], "object"),
    ):
        assert cli.main(["edit", *arguments]) == cli.BAD_INPUT
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
    with pytest.raises(GanverseError, match="taught"):
        Editor.open(WEIGHTS, SHIPPED / "twin-car.safetensors", refines=False)
