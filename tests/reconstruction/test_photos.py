"""Photos in, framed objects out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse.errors import GanverseError
from ganverse.generators.framing import Framing
from ganverse.inverse.weights import InverseCard
from ganverse.masks.segmenter import Segmenter
from ganverse.pretrained import SHIPPED
from ganverse.reconstruction.photos import (
    FILL,
    LARGEST_SIDE,
    Box,
    Photo,
    bounding_square,
    crop,
    find_object,
    masked_object,
    masker_of,
    read_mask,
)
from tests.reconstruction.toys import car, save_mask, save_photo


def test_the_object_is_found_and_fills_the_square() -> None:
    wide, mask = car()
    found = find_object(Photo("a photo", wide), Segmenter.from_pretrained())
    true = crop(wide, bounding_square(mask[0, 0] > 0.5, FILL, FILL), 64)
    assert (found.picture(64) - true).abs().mean() < 0.05
    rows = (found.mask(64)[0, 0] > 0.5).nonzero()
    longer = (rows.amax(dim=0) - rows.amin(dim=0) + 1).max()
    assert longer == pytest.approx(FILL * 64, abs=2)


@pytest.mark.parametrize("turned", [False, True])
def test_the_longer_side_takes_88_per_cent_of_a_centered_square(turned: bool) -> None:
    mask = torch.zeros(1, 1, 90, 120)
    mask[..., 30:52, 20:64] = 1  # 22 rows, 44 columns: the square has 50
    mask = mask.transpose(2, 3) if turned else mask
    box = masked_object(Photo("", mask.expand(-1, 3, -1, -1)), mask).box
    assert (box.left, box.top, box.side) == ((16, 17, 50) if turned else (17, 16, 50))


def test_bars_hide_nothing_of_a_tall_object() -> None:
    picture, mask = torch.rand(1, 3, 90, 60), torch.zeros(1, 1, 90, 60)
    mask[..., 10:80, 10:50] = 1
    framed, foreground = masked_object(Photo("tall", picture), mask).framed(Framing(48, 64, 64))
    rows = (foreground[0, 0] > 0.5).any(dim=1).nonzero()
    assert rows[-1] - rows[0] + 1 == pytest.approx(FILL * 48, abs=1)
    assert framed[..., :8, :].abs().max() == framed[..., 56:, :].abs().max() == 0


def test_a_given_mask_decides() -> None:
    """The right half of the picture holds no car; a mask there makes it the object all the same."""
    wide, mask = car()
    found = masked_object(Photo("a photo", wide), mask.flip(3))
    assert found.box.left > wide.shape[3] // 2 - found.box.side
    assert found.box.side == masked_object(Photo("a photo", wide), mask).box.side


def test_sky_holds_no_object() -> None:
    sky = torch.tensor([0.5, 0.6, 0.9]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    with pytest.raises(GanverseError, match="covering at least 2 % of the sky"):
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
    save_cut_out(tmp_path / "cut.png", hidden=0)
    assert torch.equal(read_mask(tmp_path / "cut.png", photo), gray)
    opaque = Image.open(tmp_path / "mask.png")
    opaque.convert("LA").save(tmp_path / "opaque.png")
    opaque.convert("P").save(tmp_path / "palette.png")
    for name in ("opaque", "palette"):
        assert torch.equal(read_mask(tmp_path / f"{name}.png", photo), gray), name
    opaque.resize((48, 24)).save(tmp_path / "small.png")
    assert read_mask(tmp_path / "small.png", photo).shape == gray.shape


def save_cut_out(path: Path, hidden: int) -> None:
    """The car with its mask as alpha; hidden: color below the transparent pixels."""
    picture, mask = car()
    colors = torch.where(mask > 0.001, picture, torch.tensor(hidden / 255))
    pixels = (torch.cat([colors, mask], dim=1)[0] * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(pixels.numpy()).save(path)


def test_transparency_is_the_mask_and_hides_colors(tmp_path: Path) -> None:
    photos = []
    for hidden in (0, 255):
        save_cut_out(tmp_path / f"{hidden}.png", hidden)
        photos.append(Photo.read(tmp_path / f"{hidden}.png"))
    assert torch.equal(photos[0].pixels, photos[1].pixels)
    found = find_object(photos[0], None)
    given = masked_object(photos[0], read_mask(save_mask(tmp_path / "mask.png"), photos[0]))
    assert found.box == given.box
    assert torch.equal(found.mask(64), given.mask(64))


def test_opaque_alpha_means_nothing(tmp_path: Path) -> None:
    with Image.open(save_photo(tmp_path / "a.png")) as file:
        file.convert("RGBA").save(tmp_path / "opaque.png")
    photo = Photo.read(tmp_path / "opaque.png")
    assert photo.mask is None
    assert torch.equal(photo.pixels, Photo.read(tmp_path / "a.png").pixels)


def test_masks_belong_to_weights(tmp_path: Path) -> None:
    card = InverseCard("horses-gan", "", 0, 0)
    assert masker_of(card, tmp_path / "inverse.safetensors", "cpu") is None
    with pytest.raises(GanverseError, match="a mask of the object in a horse"):
        find_object(Photo("a horse", car()[0]), None)
    shipped = masker_of(replace(card, category="car"), tmp_path / "inverse.safetensors", "cpu")
    assert shipped.name == Segmenter.from_pretrained().name
    for ending in (".safetensors", ".json"):
        (tmp_path / f"segmenter{ending}").write_bytes((SHIPPED / f"segmenter-car{ending}").read_bytes())
    own = masker_of(card, tmp_path / "inverse.safetensors", "cpu")
    assert torch.equal(own(car()[0]).foreground, shipped(car()[0]).foreground)


@pytest.mark.parametrize(("size", "color", "message"), [((96, 96), 255, "aspect ratio"), ((192, 96), 0, "all-black")])
def test_masks_that_do_not_fit(tmp_path: Path, size: tuple[int, int], color: int, message: str) -> None:
    photo = Photo.read(save_photo(tmp_path / "a.png"))
    Image.new("L", size, color).save(tmp_path / "mask.png")
    with pytest.raises(GanverseError, match=message):
        read_mask(tmp_path / "mask.png", photo)


def test_pictures_that_are_none(tmp_path: Path) -> None:
    Image.new("RGB", (64, 8)).save(tmp_path / "flat.png")
    Image.new("RGB", (3000, 30)).save(tmp_path / "thin.png")
    (tmp_path / "cut.png").write_bytes(save_photo(tmp_path / "a.png").read_bytes()[:200])
    (tmp_path / "text.png").write_text("no picture")
    messages = {
        "flat": "at least 16 pixels per side in .*flat.png, got 64 x 8;",
        "thin": "got 1024 x 10 where its longer side is 1024 pixels",
        "cut": "cannot be read",
        "text": "expected an image",
    }
    for name, message in messages.items():
        with pytest.raises(GanverseError, match=message):
            Photo.read(tmp_path / f"{name}.png")
