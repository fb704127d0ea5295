"""Files and images: atomic writes, safetensors in memory, YAML, image and mask readers, PNG, image grids.

Images are float32 RGB in [0, 1] of shape [3, H, W], as everywhere outside `generators`. User files are read with
limits: a few image formats, a maximum number of pixels, plain YAML of a maximum size.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import save as dump_tensors
from torch import Tensor

from ganverse.errors import GanverseError, brief, quoted

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Accepted image formats. Pillow knows dozens more, some of which start other programs."""
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
LARGEST_PICTURE = 80_000_000
"""Maximum number of pixels of an image; below Pillow's own warning threshold."""
LARGEST_YAML = 2**18
"""Maximum size of a YAML file in bytes."""
LARGEST_JSON = 2**20
"""Maximum size of a JSON file in bytes."""
DEEPEST_YAML = 32
"""Maximum nesting depth of a YAML file."""


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file such that readers (also after a crash) see the old or the new contents, never a part."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """`write_atomically` for several files; a full disk changes none. Files that refer to others must come last."""
    ready = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            ready[path].write_bytes(data)
        for path, temporary in ready.items():
            os.replace(temporary, path)
    finally:
        for temporary in ready.values():
            with contextlib.suppress(OSError):  # the folder could not be created
                temporary.unlink()


def json_bytes(contents: Mapping[str, Any]) -> bytes:
    """An indented JSON file in memory, without NaN."""
    return (json.dumps(contents, indent=2, allow_nan=False) + "\n").encode()


def pack_tensors(tensors: Mapping[str, Tensor], *, half: bool, exact: tuple[str, ...] = ()) -> bytes:
    """A safetensors file in memory; `half` stores floats as float16, except names that start with one of `exact`."""
    packed = {}
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu()
        if half and stored.is_floating_point() and not name.startswith(exact):
            stored = stored.half()
        # safetensors stores row-major tensors only; copy channels_last parameters
        packed[name] = stored.contiguous()
    return dump_tensors(packed)


def to_bytes(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Rounds [0, 1] to 256 levels; values outside are clamped."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def from_bytes(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Inverse of `to_bytes` on its grid: float32 in [0, 1]."""
    return pixels.float() / 255


def quantize(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images after a round trip through 8 bits, so that streams and shards hold the same values."""
    return from_bytes(to_bytes(images))


def image_grid(
    images: Float[Tensor, "count 3 height width"], columns: int, *, zoom: int = 1
) -> Float[Tensor, "3 rows cols"]:
    """Images in rows of `columns`, each pixel enlarged `zoom` times; empty cells are white."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images, images.new_ones(rows * columns - count, 3, height, width)])
    table = (
        padded.view(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)
    )
    return table.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)


def to_pil(image: Float[Tensor, "channels height width"]) -> Image.Image:
    """An 8-bit image (RGB, or gray for one channel) of values in [0, 1]; values outside are clamped."""
    pixels = to_bytes(image.detach().float()).permute(1, 2, 0).squeeze(2).contiguous()
    return Image.fromarray(pixels.cpu().numpy())


def png_bytes(image: Float[Tensor, "channels height width"] | Image.Image, *, compression: int = 6) -> bytes:
    """A PNG file in memory; compression: 1 is fast, 9 is small."""
    picture = to_pil(image) if isinstance(image, Tensor) else image
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=compression)
    return file.getvalue()


def save_image(image: Float[Tensor, "3 height width"] | Image.Image, path: Path) -> None:
    """Writes a PNG atomically; creates the folder."""
    write_atomically(path, png_bytes(image))


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder by suffix, sorted; hidden files such as macOS's `._photo.jpg` are skipped.

    Raises:
        GanverseError: the folder cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    except OSError as error:
        raise GanverseError(f"expected a folder of images at {folder}, but it cannot be read ({error})") from error
    return sorted(path for path in files if not path.name.startswith("."))


def read_image(source: Path | bytes, *, largest: int | None = None) -> Float[Tensor, "3 height width"]:
    """Reads an image file as upright RGB (EXIF orientation applied) in [0, 1]; transparency is ignored.

    Args:
        source: a PNG, JPEG, WebP, BMP, TIFF or GIF file (first frame), or its contents.
        largest: maximum length of the longer side in pixels; larger images are scaled down. None keeps the size.

    Raises:
        GanverseError: the file is missing, not a regular file, not such an image, or exceeds `LARGEST_PICTURE` pixels.
    """
    return _pixels(_decode(source, largest).convert("RGB"))


def read_image_with_alpha(
    source: Path | bytes, *, largest: int | None = None
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
    """The image as in `read_image`, and its alpha channel in [0, 1].

    Alpha is None if the file has none, or if it lies entirely below or entirely above one half.
    """
    picture = _decode(source, largest)
    alpha = _telling_alpha(picture)
    return _pixels(picture.convert("RGB")), None if alpha is None else _pixels(alpha)


def read_mask(source: Path | bytes, *, largest: int | None = None) -> Float[Tensor, "1 height width"]:
    """Reads a mask file in [0, 1]: its alpha channel if that varies, else its gray value (white is 1).

    Arguments and errors as in `read_image`.
    """
    picture = _decode(source, largest)
    alpha = _telling_alpha(picture)
    return _pixels(picture.convert("L") if alpha is None else alpha)


def _decode(source: Path | bytes, largest: int | None) -> Image.Image:
    """The upright image in 8 bits: L or RGB, or RGBA if the file has any transparency."""
    if isinstance(source, bytes):
        name = "this file"
    else:
        name = str(source)
        _check_file(source, "an image")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=PICTURE_FORMATS) as file:
            if file.width * file.height > LARGEST_PICTURE:
                raise Image.DecompressionBombError
            picture = _in_8_bits(file)
            if largest is not None:
                picture.thumbnail((largest, largest))
            upright = ImageOps.exif_transpose(picture)
            return upright if upright.mode in ("L", "RGB", "RGBA") else upright.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        megapixels = LARGEST_PICTURE // 10**6
        raise GanverseError(f"expected at most {megapixels} megapixels in {name}, got more; scale it down") from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError) as error:
        # Pillow's decoders raise all of these for damaged files
        why = "its format is unknown" if isinstance(error, UnidentifiedImageError) else brief(error)
        raise GanverseError(
            f"expected an image in {name}, but it cannot be read ({why}); save it as PNG or JPEG"
        ) from error


def _check_file(path: Path, what: str) -> None:
    """Refuses pipes and devices, which would block or never end."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "nothing"
        raise GanverseError(f"expected {what} at {path}, found {found}; correct the path")


def regular(path: Path) -> Path:
    """Returns `path`; refuses pipes and devices, which would block or never end.

    Raises:
        OSError: there is something, but neither a file nor a folder.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def _in_8_bits(file: Image.Image) -> Image.Image:
    """Leaves 8-bit files undecoded, so that a JPEG is later decoded at about the requested size."""
    if file.has_transparency_data:
        return file.convert("RGBA")
    if file.mode in ("1", "P"):
        return file.convert("RGB")
    if file.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(file).astype(np.float32) / 257).round().astype(np.uint8))
    if file.mode in ("I", "F"):
        raise ValueError("32 bits a channel")
    return file


def _telling_alpha(picture: Image.Image) -> Image.Image | None:
    """The alpha channel if it has values both below and above one half."""
    if "A" not in picture.getbands():
        return None
    alpha = picture.getchannel("A")
    opaque = np.asarray(alpha) >= 128
    return alpha if opaque.any() and not opaque.all() else None


def _pixels(picture: Image.Image) -> Float[Tensor, "channels height width"]:
    array = np.array(picture)
    return from_bytes(torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous())


def read_yaml(path: Path) -> object:
    """Contents of a YAML file: mappings, lists, strings, numbers, dates, booleans, None.

    Refuses aliases, custom tags, duplicate keys, more than `LARGEST_YAML` bytes and more than `DEEPEST_YAML` levels, so
    that a small file can neither grow large nor execute code.

    Raises:
        GanverseError: the file is missing, not UTF-8, or not such YAML; the message names it.
    """
    _check_file(path, "a YAML file")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_YAML + 1)
    except OSError as error:
        raise GanverseError(f"expected YAML in {path}, but it cannot be read ({error})") from error
    if len(data) > LARGEST_YAML:
        raise GanverseError(f"expected at most {LARGEST_YAML >> 10} KiB of YAML in {path}, got a larger file")
    try:
        return yaml.load(data.decode("utf-8-sig"), Loader=_PlainLoader)
    except UnicodeDecodeError as error:
        raise GanverseError(f"expected UTF-8 text in {path}, got another encoding; save the file as UTF-8") from error
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # the last four: PyYAML's constructors, for invalid numbers and dates
        mark = getattr(error, "problem_mark", None)
        problem = brief(getattr(error, "problem", None) or error) + (f" in line {mark.line + 1}" if mark else "")
        raise GanverseError(f"expected YAML in {path}, got: {problem}") from error


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a JSON file of at most `LARGEST_JSON` bytes; what: name of the file in messages.

    Raises:
        GanverseError: the file is missing or is not a JSON mapping.
    """
    try:
        with regular(path).open("rb") as file:
            data = file.read(LARGEST_JSON + 1)
        if len(data) > LARGEST_JSON:
            raise ValueError(f"more than {LARGEST_JSON >> 20} MiB")
        found = json.loads(data, parse_int=whole_number)
    except OSError as error:
        raise GanverseError(f"expected {what} at {path}, but it cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise GanverseError(f"expected JSON in {path}, got {brief(error):.80}; create {what} again") from error
    if not isinstance(found, dict):
        raise GanverseError(f"expected a mapping in {path}, got a {type(found).__name__}; create {what} again")
    return found


def whole_number(digits: str) -> int:
    """Parses 64-bit integers for `json.loads`; ValueError for others, since long ones take quadratic time."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, deep nesting and duplicate keys."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Counts the nesting level."""
        alias, deep = self.check_event(yaml.AliasEvent), self.depth >= DEEPEST_YAML
        if alias or deep:
            problem = "an alias (*name)" if alias else f"more than {DEEPEST_YAML} levels of nesting"
            raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses duplicate keys."""
        times = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in times.most_common(1):
            if count > 1:
                problem = f"the key {quoted(key)} {count} times"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)
