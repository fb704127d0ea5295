"""Photos in, framed objects out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.errors import GanverseError
from ganverse.masks.segmenter import Segmenter
from ganverse.reconstruction.photos import (
    FILL,
    LARGEST_SIDE,
    Box,
    Photo,
    bounding_square,
    crop,
    find_object,
    masked_object,
    read_mask,
)
from tests.reconstruction.toys import car, save_mask, save_photo


def test_the_object_is_found_and_fills_the_square() -> None:
    wide, mask = car()
    found = find_object(Photo("a photo", wide), Segmenter.from_pretrained())
    true = crop(wide, bounding_square(mask[0, 0] > 0.5, FILL), 64)
    assert (found.picture(64) - true).abs().mean() < 0.05
    rows = (found.mask(64)[0, 0] > 0.5).nonzero()
    longer = (rows.amax(dim=0) - rows.amin(dim=0) + 1).max()
    assert longer == pytest.approx(FILL * 64, abs=2)


def test_a_given_mask_decides() -> None:
    """The right half of the picture holds no car; a mask there makes it the object all the same."""
    wide, mask = car()
    found = masked_object(Photo("a photo", wide), mask.flip(3))
    assert found.box.left > wide.shape[3] // 2 - found.box.side
    assert found.box.side == masked_object(Photo("a photo", wide), mask).box.side


def test_sky_holds_no_object() -> None:
    sky = torch.tensor([0.5, 0.6, 0.9]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    with pytest.raises(GanverseError, match="covering 2 % of the sky"):
        find_object(Photo("the sky", sky), Segmenter.from_pretrained())


def test_crops_beyond_the_border_repeat_it() -> None:
    picture = torch.arange(12.0).view(1, 1, 3, 4).expand(1, 3, 3, 4) / 12
    shown = crop(picture, Box(-1, -1, 6), 6)
    assert torch.allclose(shown[0, 0, 0], torch.tensor([0.0, 0, 1, 2, 3, 3]) / 12, atol=1e-6)
    assert torch.allclose(shown[0, 0, :, 0], torch.tensor([0.0, 0, 4, 8, 8, 8]) / 12, atol=1e-6)


def test_photos_are_read_upright_and_at_most_so_large(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2400, 600), (255, 0, 0))
    rotated = Image.Exif()
    rotated[0x0112] = 6  # the camera was held upright
    picture.save(tmp_path / "a.jpg", exif=rotated)
    photo = Photo.read(tmp_path / "a.jpg")
    assert photo.pixels.shape == (1, 3, LARGEST_SIDE, LARGEST_SIDE // 4)
    assert photo.pixels[0, 0].min() > 0.9


def test_masks_as_gray_and_as_transparency(tmp_path: Path) -> None:
    photo = Photo.read(save_photo(tmp_path / "a.png"))
    gray = read_mask(save_mask(tmp_path / "mask.png"), photo)
    assert (gray - car()[1]).abs().max() < 1 / 255
    alpha = (car()[1][0, 0] * 255).round().byte().numpy()
    Image.fromarray(np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha])).save(tmp_path / "cut.png")
    assert torch.equal(read_mask(tmp_path / "cut.png", photo), gray)
    Image.fromarray(alpha).resize((48, 24)).save(tmp_path / "small.png")
    assert read_mask(tmp_path / "small.png", photo).shape == gray.shape


@pytest.mark.parametrize(
    ("size", "color", "message"), [((96, 96), 255, "proportions"), ((192, 96), 0, "all of it is black")]
)
def test_masks_that_do_not_fit(tmp_path: Path, size: tuple[int, int], color: int, message: str) -> None:
    photo = Photo.read(save_photo(tmp_path / "a.png"))
    Image.new("L", size, color).save(tmp_path / "mask.png")
    with pytest.raises(GanverseError, match=message):
        read_mask(tmp_path / "mask.png", photo)


def test_pictures_that_are_none(tmp_path: Path) -> None:
    Image.new("RGB", (64, 8)).save(tmp_path / "flat.png")
    (tmp_path / "cut.png").write_bytes(save_photo(tmp_path / "a.png").read_bytes()[:200])
    (tmp_path / "text.png").write_text("no picture")
    for name, message in (("flat", "16 pixels a side"), ("cut", "cannot be read"), ("text", "expected a picture")):
        with pytest.raises(GanverseError, match=message):
            Photo.read(tmp_path / f"{name}.png")
