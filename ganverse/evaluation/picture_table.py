"""Labeled tables of images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganverse.io import to_pil

_FONT, _LETTER = 13, 7
"""Size of letters in pixels."""
_INK, _PAPER = (40, 40, 46), (255, 255, 255)
_GAP = 2
_LARGEST = 256


@dataclass(frozen=True)
class Column:
    """A table column: heading and one image per row, all of one size, which may differ between columns."""

    heading: str
    pictures: Float[Tensor, "rows 3 height width"]


def table(columns: Sequence[Column], *, rows: Sequence[str] = (), cell: int = 96) -> Image.Image:
    """Images in [0, 1], headings above, row labels on the left; `info["row"]`: height of headings and first row.

    The longer side of all cells is that of the first column's images, from `cell` to 256 pixels.
    """
    cell = max(cell, min(_LARGEST, max(columns[0].pictures.shape[2:])))
    font = ImageFont.load_default(_FONT)
    left = 8 + max((round(font.getlength(label)) for label in rows), default=-8)
    count = max(len(column.pictures) for column in columns)
    headings = [textwrap.wrap(column.heading, max(1, cell // _LETTER), break_long_words=False) for column in columns]
    lines = max(len(heading) for heading in headings)
    cells = [[resized(picture, cell) for picture in column.pictures] for column in columns]
    height = max(picture.height for column in cells for picture in column)
    top, step = 4 + lines * (_FONT + 2) if lines else 0, height + _GAP
    sheet = Image.new("RGB", (left + (cell + _GAP) * len(columns), top + step * count), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(rows):
        draw.text((4, top + step * row + height // 2 - _FONT // 2), label, _INK, font)
    for index, pictures in enumerate(cells):
        x = left + (cell + _GAP) * index
        for line, text in enumerate(headings[index]):
            draw.text((x + 1, 2 + line * (_FONT + 2)), text, _INK, font)
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (x, top + step * row))
    sheet.info["row"] = top + step
    return sheet


def resized(picture: Float[Tensor, "3 height width"], size: int) -> Image.Image:
    """An 8-bit image with a longer side of `size` pixels; enlarged with visible pixels, reduced smoothly."""
    image = to_pil(picture)
    longest = max(image.size)
    method = Image.Resampling.NEAREST if size % longest == 0 else Image.Resampling.LANCZOS
    return image.resize([max(1, round(side * size / longest)) for side in image.size], method)
