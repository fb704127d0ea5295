"""`ganverse masks`: images out, painted masks in, a segmenter out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.data.sources import SourceSettings, segmenter_path
from ganverse.errors import GanverseError
from ganverse.io import read_image, to_pil
from ganverse.masks.command import read_painted_mask, write_pictures
from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter
from tests import pipeline_toys

ELLIPSE = np.zeros((256, 256), dtype=np.uint8)
ELLIPSE[60:200, 40:210] = 255


def test_two_calls_make_a_segmenter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator, folder = pipeline_toys.save_gan(tmp_path), tmp_path / "toy-masks"
    command = ["masks", str(generator), "--pictures=3", "--device=cpu"]
    assert cli.main(command) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["000.png", "001.png", "002.png"]
    assert "000-mask.png" in capsys.readouterr().err
    assert cli.main([*command, "--labeled=1"]) == cli.BAD_INPUT
    assert "labeled and folds of at least 2" in capsys.readouterr().err
    assert cli.main([*command, "--pictures=1"]) == cli.BAD_INPUT
    assert "--pictures between 2 and" in capsys.readouterr().err
    for number in (0, 2):
        Image.fromarray(ELLIPSE).save(folder / f"{number:03d}-mask.png")
    assert cli.main([*command, "--labeled=16", "--steps=2"]) == 0
    assert "IoU" in capsys.readouterr().err
    path = tmp_path / "toy-segmenter.safetensors"
    assert (
        Segmenter.from_pretrained(path).working_size
        == json.loads(path.with_suffix(".json").read_text())["working_size"]
    )
    assert path.with_suffix(".png").is_file()
    assert segmenter_path(SourceSettings(generator=str(generator), category="other")) == path


def test_the_segmenter_beside_the_generator_is_taken(tmp_path: Path) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    assert segmenter_path(SourceSettings(generator=str(generator))) == CAR_WEIGHTS
    other = SourceSettings(generator=str(generator), category="other")
    with pytest.raises(GanverseError, match="ganverse masks"):
        segmenter_path(other)
    beside = tmp_path / "toy-segmenter.safetensors"
    beside.touch()
    assert segmenter_path(other) == beside
    assert (
        segmenter_path(SourceSettings(segmenter=CAR_WEIGHTS, generator=str(generator), category="bird")) == CAR_WEIGHTS
    )


def test_pictures_that_exist_are_left_alone(tmp_path: Path) -> None:
    write_pictures(torch.zeros(2, 3, 16, 16), tmp_path)
    (tmp_path / "001.png").unlink()
    write_pictures(torch.ones(2, 3, 16, 16), tmp_path)
    assert [read_image(tmp_path / f"00{k}.png").max() for k in (0, 1)] == [0, 1]
    assert read_image(tmp_path / "000.png").shape == (3, 256, 256)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "RGBA", "LA"])
def test_a_mask_is_the_same_in_every_mode(tmp_path: Path, mode: str) -> None:
    write_pictures(torch.rand(1, 3, 16, 16), tmp_path)
    Image.fromarray(ELLIPSE).convert("RGB").convert(mode).save(tmp_path / "000-mask.png")
    found = read_painted_mask(tmp_path / "000.png", 256)
    assert torch.equal(found, torch.from_numpy(ELLIPSE)[None] / 255)
    assert read_painted_mask(tmp_path / "000.png", 64).mean() == pytest.approx(float(found.mean()))


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    write_pictures(torch.rand(1, 3, 16, 16), tmp_path)
    picture, mask = tmp_path / "000.png", tmp_path / "000-mask.png"
    photo = to_pil(read_image(picture)).convert("RGBA")
    for image, complaint in (
        (Image.new("L", (16, 16)), "256 x 256, got 16 x 16"),
        (photo, "neither dark nor light"),
        (Image.fromarray(ELLIPSE // 255), "white .255. on the object"),
    ):
        image.save(mask)
        with pytest.raises(GanverseError, match=complaint):
            read_painted_mask(picture, 16)
    mask.write_text("no picture")
    with pytest.raises(GanverseError, match="save it as PNG"):
        read_painted_mask(picture, 16)
