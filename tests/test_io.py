"""Pictures, masks and YAML that users hand over: read exactly, or refused in one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganverse.errors import GanverseError, brief, quoted
from ganverse.io import (
    LARGEST_YAML,
    from_bytes,
    list_images,
    quantize,
    read_image,
    read_image_with_alpha,
    read_mask,
    read_yaml,
    to_bytes,
)

SQUARE = np.zeros((20, 24), dtype=np.uint8)
SQUARE[5:15, 6:18] = 255
TRUTH = torch.from_numpy(SQUARE).float()[None] / 255


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8))


def saved(picture: Image.Image, path: Path, **options: Any) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "jpg"])
def test_every_format_is_read_to_its_pixels(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(photo(), tmp_path / f"photo.{suffix}", **options)
    found = read_image(path)
    assert found.shape == (3, 20, 24)
    with Image.open(path) as file:
        assert torch.equal(
            (found * 255).round().byte().permute(1, 2, 0), torch.from_numpy(np.array(file.convert("RGB")))
        )
    assert torch.equal(read_image(path.read_bytes()), found)


def test_photos_are_turned_upright_and_scaled_down(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    path = saved(photo(), tmp_path / "side.png", exif=exif)
    assert read_image(path).shape == (3, 24, 20)
    assert read_image(path, largest=12).shape == (3, 12, 10)
    assert read_image(path, largest=100).shape == (3, 24, 20)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "RGBA", "LA"])
def test_a_black_and_white_mask_is_the_same_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = saved(Image.fromarray(SQUARE).convert("RGB").convert(mode), tmp_path / "mask.png")
    assert torch.equal(read_mask(path), TRUTH), "opaque alpha must not make the whole picture the object"


def test_sixteen_bits_are_scaled_by_their_range(tmp_path: Path) -> None:
    path = saved(Image.fromarray(SQUARE.astype(np.uint16) * 257), tmp_path / "mask.png")
    assert torch.equal(read_mask(path), TRUTH)
    assert torch.equal(read_image(path), TRUTH.expand(3, -1, -1))
    half = saved(Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)), tmp_path / "half.png")
    assert read_mask(half).mean() == pytest.approx(0.5, abs=0.002)
    for array in (SQUARE.astype(np.int32), SQUARE.astype(np.float32)):
        with pytest.raises(GanverseError, match="32 bits a channel"):
            read_mask(saved(Image.fromarray(array), tmp_path / "mask.tiff"))


def test_alpha_counts_only_where_it_marks_something(tmp_path: Path) -> None:
    cut = photo()
    cut.putalpha(Image.fromarray(SQUARE))
    image, alpha = read_image_with_alpha(saved(cut, tmp_path / "cut.png"))
    assert alpha is not None
    assert torch.equal(alpha, TRUTH)
    assert torch.equal(read_mask(tmp_path / "cut.png"), TRUTH)
    assert torch.equal(image, read_image(saved(photo(), tmp_path / "photo.png")))
    assert read_image_with_alpha(tmp_path / "photo.png")[1] is None
    for constant in (0, 200, 255):
        cut.putalpha(constant)
        assert read_image_with_alpha(saved(cut, tmp_path / "constant.png"))[1] is None
    palette = Image.fromarray(SQUARE).convert("P")
    mask = saved(palette, tmp_path / "palette.png", transparency=0)
    assert torch.equal(read_mask(mask), TRUTH)


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels in a few bytes: its header alone says so."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_100, 9_500, 60_000])
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    start = time.monotonic()
    with pytest.raises(GanverseError, match=r"at most 80 megapixels in .*bomb\.png"):
        read_image(path, largest=64)
    assert time.monotonic() - start < 1


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(saved(photo(), tmp_path / "photo.png").read_bytes()[:300])
    saved(photo(), tmp_path / "other.eps")
    for name, found in (
        ("none.png", "found nothing"),
        (".", "found a folder"),
        ("pipe.png", "not a regular file"),
        ("device.png", "not a regular file"),
        ("text.png", "cannot be read"),
        ("empty.png", "cannot be read"),
        ("half.png", "cannot be read"),
        ("other.eps", "cannot be read"),
    ):
        for read in (read_image, read_mask):
            with pytest.raises(GanverseError, match=found):
                read(tmp_path / name)
    with pytest.raises(GanverseError, match="an image in this file"):
        read_image(b"GIF89a")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it skips
@given(st.sampled_from(["png", "jpeg", "webp", "bmp", "tiff", "gif"]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_pictures_are_refused_and_nothing_else(kind: str, data: st.DataObject) -> None:
    file = io.BytesIO()
    photo().convert("P" if kind == "gif" else "RGB").save(file, format=kind)
    damaged = bytearray(file.getvalue())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, min(len(damaged), 200) - 1), st.integers(0, 255)), min_size=1, max_size=6)
    ):
        damaged[place] = value
    with contextlib.suppress(GanverseError):
        assert read_mask(bytes(damaged), largest=64).shape[0] == 1


def test_folders_of_pictures_skip_what_macos_leaves(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "._a.jpg", ".DS_Store", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    with pytest.raises(GanverseError, match="folder of images"):
        list_images(tmp_path / "none")


def test_yaml_of_every_plain_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffa: [1, 2.5, null, true, 'é']\nb: {c: {d: x}}\n".encode())
    assert read_yaml(path) == {"a": [1, 2.5, None, True, "é"], "b": {"c": {"d": "x"}}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: &x [1]\nb: *x\n", "alias"),
        ("a: &a [x]\nb: &b [*a, *a]\n", "alias"),
        ("[" * 5000, "levels of nesting"),
        ("- " * 5000, "levels of nesting"),
        ("{a: " * 5000, "levels of nesting"),
        ("a: 1\nb: 2\na: 3\n", "the key 'a' 2 times"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("a: !other 1\n", "could not determine a constructor"),
        ("a: " + "9" * 5000, "integer string conversion"),
        ("a: 2001-13-45", "month"),
        ("a: !!timestamp x", "expected YAML"),
        ("a: !!int x", "expected YAML"),
        ("a: !!bool x", "expected YAML"),
        ("a: [", "expected YAML"),
        ("a: \0", "expected YAML"),
        ("%" * 9, "expected YAML"),
        ("a: " + "x" * LARGEST_YAML, "at most 256 KiB"),
    ],
)
def test_hostile_yaml_is_one_short_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    start = time.monotonic()
    with pytest.raises(GanverseError, match=complaint) as caught:
        read_yaml(path)
    assert time.monotonic() - start < 5
    assert "hostile.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_yaml_that_is_no_text_file(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("a: 1", encoding="utf-16")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, complaint in (("wide", "UTF-8"), ("pipe", "not a regular file"), ("none", "found nothing")):
        with pytest.raises(GanverseError, match=complaint):
            read_yaml(tmp_path / f"{name}.yaml")


@given(st.binary(max_size=300) | st.text(alphabet="ab:-{}[]&*!|>'\"#% \n\t0123,?", max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_yaml_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with contextlib.suppress(GanverseError):
        read_yaml(path)


def test_quotations_are_short() -> None:
    assert quoted("front") == "'front'"
    assert quoted(7) == "7"
    assert len(quoted("x" * 10**6)) < 70
    assert len(quoted(list(range(10**4)))) < 70
    assert quoted(10**5000) == "a very long number"
    assert brief(ValueError("one\n two\nthree")) == "one two"
    assert len(brief(ValueError("x" * 10**6))) == 200


def test_bytes_round_trip_exactly() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(pixels)), pixels)


def test_quantizing_moves_a_pixel_by_half_a_step_at_most_and_only_once() -> None:
    images = torch.rand(2, 3, 8, 8)
    once = quantize(images)
    assert (once - images).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(quantize(once), once)
    assert quantize(torch.tensor([-1.0, 2.0])).tolist() == [0, 1]
