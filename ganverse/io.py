"""Files and pictures: atomic writes, safetensors in memory, 8-bit pixels, PNG, tables of images.

Images are float32 RGB in [0, 1] with 3 x H x W axes, as everywhere outside the generators.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.torch import save as dump_tensors
from torch import Tensor


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader (or a crash) sees the old or the new contents, never half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def pack_tensors(tensors: Mapping[str, Tensor], *, half: bool) -> bytes:
    """A safetensors file in memory; `half` stores floating-point tensors as float16."""
    packed = {}
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu()
        if half and stored.is_floating_point():
            stored = stored.half()
        # a channels_last parameter must be laid out anew: safetensors knows only row-major
        packed[name] = stored.contiguous()
    return dump_tensors(packed)


def to_bytes(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[0, 1] to the nearest of 256 steps; values outside are clamped."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def from_bytes(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of `to_bytes` on its grid: float32 in [0, 1]."""
    return pixels.float() / 255


def quantize(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images as they look after a round trip through an 8-bit file; what streams and shards hold alike."""
    return from_bytes(to_bytes(images))


def image_grid(
    images: Float[Tensor, "count 3 height width"], columns: int, *, zoom: int = 1
) -> Float[Tensor, "3 rows cols"]:
    """Images in rows of `columns`, every pixel `zoom` times as large; missing ones at the end are white."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images, images.new_ones(rows * columns - count, 3, height, width)])
    table = (
        padded.view(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)
    )
    return table.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)


def to_pil(image: Float[Tensor, "3 height width"]) -> Image.Image:
    """8-bit picture of values in [0, 1]; values outside are clamped."""
    pixels = to_bytes(image.detach().float()).permute(1, 2, 0).contiguous()
    return Image.fromarray(pixels.cpu().numpy())


def png_bytes(image: Float[Tensor, "3 height width"] | Image.Image, *, compression: int = 6) -> bytes:
    """A PNG file in memory; compression: 1 is fast, 9 is small."""
    picture = to_pil(image) if isinstance(image, Tensor) else image
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=compression)
    return file.getvalue()


def save_image(image: Float[Tensor, "3 height width"] | Image.Image, path: Path) -> None:
    """Writes a PNG atomically; makes the folder."""
    write_atomically(path, png_bytes(image))
