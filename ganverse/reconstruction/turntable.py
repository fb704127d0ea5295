"""One turn round an object: frames, and files of them (.gif, .mp4, or .png as a strip)."""

from __future__ import annotations

import importlib.util
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.export.textured import texture_picture
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.io import write_atomically
from ganverse.rendering.render import Semantics, render

FORMATS = (".gif", ".mp4", ".png")
ELEVATION_DEGREES = 15.0
_SECONDS = 3.0
_AT_ONCE = 6


@torch.no_grad()
def orbit(
    network: InverseGraphicsNetwork, seen: Reconstruction, azimuths_degrees: list[float], size: int
) -> Float[Tensor, "frames 3 size size"]:
    """A reconstruction (a batch of one) from azimuths at its own distance, 15 degrees up, anti-aliased, on white."""
    parts = []
    for start in range(0, len(azimuths_degrees), _AT_ONCE):
        azimuths = azimuths_degrees[start : start + _AT_ONCE]
        count = len(azimuths)
        distance = seen.camera.distance.expand(count)
        cameras = Cameras.from_degrees(azimuths, [ELEVATION_DEGREES] * count, distance, device=distance.device)
        parts.append(on_white(network, seen.repeat_interleave(count), cameras, size))
    return torch.cat(parts)


@torch.no_grad()
def on_white(
    network: InverseGraphicsNetwork, seen: Reconstruction, cameras: Cameras, size: int
) -> Float[Tensor, "batch 3 size size"]:
    """Reconstructions through one camera each, with four samples a pixel."""
    semantics = Semantics(samples=2)
    drawn = render(network.mesh(seen), seen.texture, cameras, seen.light, size, semantics=semantics)
    white = render(network.mesh(seen), torch.ones_like(seen.texture), cameras, size=size, semantics=semantics)
    return (drawn.rgb + 1 - white.rgb).clamp(0, 1)


def check_turntable(path: Path) -> None:
    """GanverseError unless the ending of `path` is one of `FORMATS` and can be written here."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise GanverseError(f"expected a turntable ending in {', '.join(FORMATS)}, got {path}; rename it")
    if ending == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise GanverseError(
            f"expected imageio-ffmpeg to write {path}, found none; pip install 'ganverse[video]', or write .gif"
        )


def write_turntable(frames: Float[Tensor, "frames 3 size size"], path: Path) -> None:
    """Frames of one turn, as an animation of three seconds, or side by side.

    Raises:
        GanverseError: another ending, or an .mp4 without imageio-ffmpeg.
    """
    check_turntable(path)
    pictures = [texture_picture(frame) for frame in frames]
    match path.suffix.lower():
        case ".mp4":
            data = _mp4(pictures)
        case ".gif":
            data = _gif(pictures)
        case _:
            data = png_bytes(texture_picture(torch.cat(list(frames), dim=2)))
    write_atomically(path, data)


def png_bytes(picture: Image.Image) -> bytes:
    """A lossless picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _gif(pictures: list[Image.Image]) -> bytes:
    """Endless; one palette for all frames, so that nothing flickers."""
    sheet = Image.fromarray(
        np.concatenate([np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // 4)]])
    )
    palette = sheet.quantize(255)
    first, *rest = (picture.quantize(palette=palette) for picture in pictures)
    buffer = io.BytesIO()
    milliseconds = round(1000 * _SECONDS / len(pictures))
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=1)
    return buffer.getvalue()


def _mp4(pictures: list[Image.Image]) -> bytes:
    """H.264, which plays everywhere; its pixels come in blocks of two by two."""
    import imageio_ffmpeg

    width, height = (side // 2 * 2 for side in pictures[0].size)
    handle, name = tempfile.mkstemp(suffix=".mp4")
    os.close(handle)
    try:
        writer = imageio_ffmpeg.write_frames(
            name, (width, height), fps=len(pictures) / _SECONDS, macro_block_size=2, ffmpeg_log_level="error"
        )
        writer.send(None)
        for picture in pictures:
            writer.send(np.ascontiguousarray(np.asarray(picture)[:height, :width]))
        writer.close()
        return Path(name).read_bytes()
    finally:
        Path(name).unlink(missing_ok=True)
