"""`ganverse edit` with the weights inside the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.io import save_image
from ganverse.neural_renderer.refinement import RefinedScenes
from ganverse.pretrained import SHIPPED
from ganverse.reconstruction.command import edit_command
from ganverse.reconstruction.editor import EditedPhoto, Editor
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.neural_renderer.toys import toy_scenes


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    _, pictures, _ = world_samples(5, torch.arange(2), CarWorldGenerator(64))
    paths = [folder / f"{name}.png" for name in ("one", "two")]
    for path, picture in zip(paths, pictures, strict=True):
        save_image(picture, path)
    return paths


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("car", device="cpu")


def test_a_sheet_of_one_photo_with_the_background_of_another(photos: list[Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sub" / "sheet.png"
    written = edit_command([str(photos[0]), "-o", str(sheet), "--background", str(photos[1]), "--steps", "1"])
    assert written == sheet
    with Image.open(sheet) as file:
        assert file.size == (10 * 128, 2 * 128)  # the photo's row and the borrower's


def test_refinement_comes_nearer_to_the_photo(photos: list[Path], editor: Editor) -> None:
    plain, refined = (editor(photos[0], steps=steps) for steps in (0, 8))
    assert torch.equal(plain.picture, refined.picture)
    first, second = ((editor.render(one) - one.picture).abs().mean() for one in (plain, refined))
    assert second < 0.95 * first


def test_parts_are_borrowed_and_the_rest_stays() -> None:
    photo, lender = (
        EditedPhoto(torch.zeros(1, 3, 8, 8), RefinedScenes(toy_scenes(1, seed), torch.ones(1, 2))) for seed in (0, 1)
    )
    found = photo.borrowing({"texture": lender}).refined
    scenes = photo.refined.scenes
    assert torch.equal(found.correction, photo.refined.correction)
    assert torch.equal(found.scenes.texture, lender.refined.scenes.texture)
    assert torch.equal(found.scenes.vertices, scenes.vertices)
    assert torch.equal(found.scenes.background, scenes.background)
    assert photo.borrowing({}).refined.scenes.vertices is scenes.vertices


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
    with pytest.raises(GanverseError, match="trained with"):
        Editor.from_pretrained(inverse=SHIPPED / "oracle-car.safetensors")
