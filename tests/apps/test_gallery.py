"""Objects of the studio: from the generator by number, and from photos."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from ganverse.apps.gallery import LARGEST_PHOTO, decoded
from ganverse.errors import GanverseError
from tests.apps.studio_toys import make_gallery, photo_file


def test_number_i_is_always_the_same_object() -> None:
    first, again = make_gallery(2), make_gallery(2)
    assert list(first.objects) == ["0", "1"]
    for name in ("0", "1"):
        assert torch.equal(first.objects[name].picture, again.objects[name].picture)
    assert not torch.equal(first.objects["0"].picture, first.objects["1"].picture)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_photo_is_cut_out_and_its_background_emptied(kind: str) -> None:
    gallery = make_gallery()
    name = gallery.add_photo(photo_file(kind))
    assert gallery.add_photo(photo_file(kind)) == name
    found = gallery.objects[name]
    assert found.picture.shape == found.background.shape == (1, 3, 32, 32)
    changed = (found.picture - found.background).abs().sum(dim=1)[0] > 0.05
    assert changed[12:20, 12:20].float().mean() > 0.5  # the car was there
    assert changed[:3].float().mean() < 0.05


def test_bad_photos() -> None:
    gallery = make_gallery()
    sky = io.BytesIO()
    Image.new("RGB", (64, 64), (120, 160, 230)).save(sky, "PNG")
    for data, sentence in ((b"", "picture file"), (b"GIF89a", "picture file"), (sky.getvalue(), "covering 2 %")):
        with pytest.raises(GanverseError, match=sentence):
            gallery.add_photo(data)
    with pytest.raises(GanverseError, match="picture file"):
        gallery.add_photo(photo_file()[:200])
    assert gallery.objects == {}


def test_photos_are_turned_upright_and_scaled_down() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    Image.new("RGB", (3000, 1000)).save(file, "JPEG", exif=exif)
    height, width = decoded(file.getvalue()).shape[2:]
    assert (height, width) == (LARGEST_PHOTO, round(LARGEST_PHOTO / 3))
    small = io.BytesIO()
    Image.new("RGB", (8, 80)).save(small, "PNG")
    with pytest.raises(GanverseError, match="16 pixels"):
        decoded(small.getvalue())
