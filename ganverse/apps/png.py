"""Pictures as bytes for a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.io import to_pil


def png(picture: Float[Tensor, "3 height width"]) -> bytes:
    """A PNG of values in [0, 1]."""
    return encoded(to_pil(picture))


def encoded(picture: Image.Image) -> bytes:
    """A PNG."""
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def data_url(picture: Float[Tensor, "3 height width"]) -> str:
    """A PNG that can stand where a page expects an address."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def gif(frames: Sequence[Float[Tensor, "3 height width"]], milliseconds: int) -> bytes:
    """An endless animation; every frame is shown for so long. One palette for all frames, so that nothing flickers."""
    pictures = [to_pil(frame) for frame in frames]
    few = torch.cat(list(frames)[:: max(1, len(frames) // 4)], dim=1)[:, ::2, ::2]
    palette = to_pil(few).quantize(255)
    first, *rest = [picture.quantize(palette=palette) for picture in pictures]
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=1)
    return file.getvalue()
