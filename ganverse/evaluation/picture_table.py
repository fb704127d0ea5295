"""Labeled tables of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_FONT, _INK, _PAPER = 13, (40, 40, 46), (255, 255, 255)
_GAP = 2


@dataclass(frozen=True)
class Column:
    """One column of a table: its heading and one picture per row, all of one size."""

    heading: str
    pictures: Float[Tensor, "rows 3 height width"]


def table(columns: Sequence[Column], *, rows: Sequence[str] = (), cell: int = 96) -> Image.Image:
    """Pictures in [0, 1] enlarged or reduced to `cell` pixels a side, headings above, row labels at the left."""
    font = ImageFont.load_default(_FONT)
    left = 8 + max((round(font.getlength(label)) for label in rows), default=-8)
    count = max(len(column.pictures) for column in columns)
    top, step = _heading_height(columns, cell, font), cell + _GAP
    sheet = Image.new("RGB", (left + step * len(columns), top + step * count), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(rows):
        draw.text((4, top + step * row + cell // 2 - _FONT // 2), label, _INK, font)
    for index, column in enumerate(columns):
        x = left + step * index
        for line, text in enumerate(wrapped(column.heading, cell, font)):
            draw.text((x + 1, 2 + line * (_FONT + 2)), text, _INK, font)
        for row, picture in enumerate(column.pictures):
            sheet.paste(as_picture(picture, cell), (x, top + step * row))
    return sheet


def as_picture(picture: Float[Tensor, "3 height width"], size: int) -> Image.Image:
    """A square 8-bit picture; enlarged with visible pixels, reduced smoothly."""
    pixels = (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    image = Image.fromarray(pixels.numpy())
    method = Image.Resampling.NEAREST if size % image.width == 0 else Image.Resampling.LANCZOS
    return image.resize((size, size), method)


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def wrapped(text: str, width: int, font: Font) -> list[str]:
    """Lines no wider than `width` pixels, broken at spaces; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _heading_height(columns: Sequence[Column], cell: int, font: Font) -> int:
    lines = max(len(wrapped(column.heading, cell, font)) for column in columns)
    return 4 + lines * (_FONT + 2) if lines else 0
