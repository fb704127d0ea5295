"""Drawings of a training for people: the camera wheel, bars of counts, curves. Small, on white, without a plot library.

Everything is drawn three times as large and reduced, which smooths the lines.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ganverse.training.camera_history import CameraMoment

Color = tuple[int, int, int]
INK, FAINT, PAPER, BLUE = (40, 40, 46), (205, 208, 214), (255, 255, 255), (60, 110, 180)
_SMOOTH, _FONT = 3, 13


@dataclass(frozen=True)
class Canvas:
    """A white sheet of width x height pixels; coordinates from the top left corner, in final pixels."""

    sheet: Image.Image
    draw: ImageDraw.ImageDraw

    @classmethod
    def blank(cls, width: int, height: int) -> Canvas:
        """An empty one."""
        sheet = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), PAPER)
        return cls(sheet, ImageDraw.Draw(sheet))

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: float = 1.0) -> None:
        """A line through all points."""
        scaled = [(x * _SMOOTH, y * _SMOOTH) for x, y in points]
        self.draw.line(scaled, color, round(width * _SMOOTH), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """A filled rectangle."""
        self.draw.rectangle([value * _SMOOTH for value in (left, top, right, bottom)], fill=color)

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        """A filled circle."""
        self.draw.circle((x * _SMOOTH, y * _SMOOTH), radius * _SMOOTH, fill=color)

    def ring(self, x: float, y: float, radius: float, color: Color) -> None:
        """A circle."""
        self.draw.circle((x * _SMOOTH, y * _SMOOTH), radius * _SMOOTH, outline=color, width=_SMOOTH)

    def text(self, x: float, y: float, words: str, anchor: str = "lm", color: Color = INK, size: int = _FONT) -> None:
        """Words; anchor as in PIL (l, m, r and a, m, s)."""
        font = ImageFont.load_default(size * _SMOOTH)
        self.draw.text((x * _SMOOTH, y * _SMOOTH), words, color, font, anchor)

    def image(self) -> Image.Image:
        """The finished picture."""
        size = (self.sheet.width // _SMOOTH, self.sheet.height // _SMOOTH)
        return self.sheet.resize(size, Image.Resampling.BOX)


def camera_wheel(history: Sequence[CameraMoment], size: int = 520) -> Image.Image:
    """Azimuths from above over a training, front at the bottom: one track per view from the inner ring to the rim.

    Ticks outside the rim: where each view started, its annotated azimuth. A view that stays has a straight track.
    """
    canvas, middle, rim = Canvas.blank(size, size + 44), size / 2, size * 0.39
    start, end = history[0], history[-1]
    _spokes(canvas, middle, rim)
    for view, annotated in enumerate(start.azimuth_degrees):
        color = hue(annotated)
        canvas.line([_polar(middle, rim + reach, annotated) for reach in (4, 14)], color, 2.5)
        track = [
            _polar(middle, rim * (0.3 + 0.7 * moment.images / max(end.images, 1)), moment.azimuth_degrees[view])
            for moment in history
        ]
        canvas.line(track if len(track) > 1 else track * 2, color, 1.5)
        canvas.dot(*track[-1], 3, color)
    moved = [abs(turn(b - a)) for a, b in zip(start.azimuth_degrees, end.azimuth_degrees, strict=True)]
    summary = f"{len(moved)} views, moved by {sum(moved) / len(moved):.1f}° on average, {max(moved):.1f}° at most"
    canvas.text(middle, size + 2, summary, "mm")
    canvas.text(middle, size + 24, f"tick: annotated    inner ring: start    rim: {end.images:,} images", "mm")
    return canvas.image()


def bars(counts: Mapping[str, int], title: str, width: int = 520) -> Image.Image:
    """One bar per name, its number and its share of all beside it."""
    step, left, right = 26, 130, 110
    canvas = Canvas.blank(width, 40 + step * len(counts))
    canvas.text(8, 18, title)
    total, longest = max(sum(counts.values()), 1), max([*counts.values(), 1])
    for row, (name, count) in enumerate(counts.items()):
        y = 40 + step * row
        length = (width - left - right) * count / longest
        canvas.text(left - 8, y + 9, name, "rm")
        canvas.box(left, y, left + max(length, 1), y + 18, BLUE)
        canvas.text(left + length + 8, y + 9, f"{count:,} ({100 * count / total:.1f} %)")
    return canvas.image()


def curves(series: Mapping[str, Sequence[tuple[float, float]]], columns: int = 4) -> Image.Image:
    """One small plot per series of (images, value): its name, smallest and largest value, and the last one."""
    cell_width, cell_height = 240, 130
    rows = -(-len(series) // columns)
    canvas = Canvas.blank(cell_width * columns, max(cell_height * rows, 1))
    for place, (name, points) in enumerate(series.items()):
        _plot(canvas, (place % columns) * cell_width, (place // columns) * cell_height, name, points)
    return canvas.image()


def turn(degrees: float) -> float:
    """An angle as a turn of -180 to 180 degrees."""
    return (degrees + 180) % 360 - 180


def hue(degrees: float) -> Color:
    """A color per direction, dark enough for white paper."""
    red, green, blue = colorsys.hsv_to_rgb(degrees % 360 / 360, 0.8, 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def _polar(middle: float, radius: float, degrees: float) -> tuple[float, float]:
    """From above: +x to the right, +z (the front, azimuth 0) down."""
    angle = math.radians(degrees)
    return middle + radius * math.sin(angle), middle + radius * math.cos(angle)


def _spokes(canvas: Canvas, middle: float, rim: float) -> None:
    names = {0: "0° front", 90: "90°", 180: "180° rear", 270: "270°"}
    for degrees in range(0, 360, 30):
        canvas.line([_polar(middle, rim * share, degrees) for share in (0.3, 1)], FAINT)
        x, y = _polar(middle, rim + 30, degrees)
        canvas.text(x, y, names.get(degrees, f"{degrees}°"), "mm")
    canvas.ring(middle, middle, rim, FAINT)
    canvas.ring(middle, middle, 0.3 * rim, FAINT)


def _plot(canvas: Canvas, left: float, top: float, name: str, points: Sequence[tuple[float, float]]) -> None:
    width, height = 240 - 64, 130 - 44
    values = [value for _, value in points]
    low, high, last = min(values), max(values), max(points[-1][0], 1)
    span = (high - low) or 1.0
    x0, y0 = left + 54, top + 26
    canvas.text(x0, top + 12, f"{name}  {values[-1]:.3g}")
    canvas.line([(x0, y0), (x0, y0 + height), (x0 + width, y0 + height)], FAINT)
    canvas.text(x0 - 4, y0 + 4, f"{high:.3g}", "rm", size=10)
    canvas.text(x0 - 4, y0 + height - 4, f"{low:.3g}", "rm", size=10)
    line = [(x0 + width * x / last, y0 + height * (1 - (value - low) / span)) for x, value in points]
    canvas.line(line if len(line) > 1 else line * 2, BLUE, 1.2)
