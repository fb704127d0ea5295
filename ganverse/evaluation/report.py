"""The report: a table for the terminal, and one offline page with everything inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image
from rich.table import Table

from ganverse.evaluation.catalog import CATALOG, PARTS, Entry
from ganverse.evaluation.figures import Figure
from ganverse.evaluation.metrics import Score
from ganverse.io import write_atomically

_ROOM_FOR_MEANINGS = 120  # columns; the numbers alone take 80
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Download:
    """A file that the page offers."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Report:
    """What the page shows: numbers by key, figures, files, and notes of one sentence each."""

    scores: dict[str, Score]
    figures: tuple[Figure, ...]
    downloads: tuple[Download, ...]
    notes: tuple[str, ...]


def write_report(report: Report, folder: Path) -> Path:
    """`folder`/index.html, which needs nothing else, and beside it the pictures and meshes as files of their own."""
    for figure in report.figures:
        write_atomically(folder / "figures" / f"{figure.name}.png", png_bytes(figure.image))
    for download in report.downloads:
        write_atomically(folder / "meshes" / download.name, download.data)
    page = folder / "index.html"
    write_atomically(page, html(report).encode())
    return page


def summary_table(scores: dict[str, Score], width: int) -> Table:
    """The table for a terminal of so many columns; a narrow one leaves to the page what the numbers mean."""
    explained = width >= _ROOM_FOR_MEANINGS
    table = Table(title="Evaluation")
    for heading in ("number", "value", "95 % interval", "target"):
        table.add_column(heading, justify="left" if heading == "number" else "right", no_wrap=True)
    if explained:
        table.add_column("what it is")
    for part in PARTS:
        for entry, score in _of_part(scores, part):
            reached = entry.reached(score.value)
            style = "dim" if not entry.published else {True: "green", False: "red", None: ""}[reached]
            meaning = (entry.meaning,) if explained else ()
            table.add_row(entry.key, _number(score.value), _interval(score), _target(entry), *meaning, style=style)
        table.add_section()
    return table


def html(report: Report) -> str:
    """The page."""
    sections = "\n".join(_section(report.scores, part) for part in PARTS)
    figures = "\n".join(_figure(figure) for figure in report.figures)
    downloads = "\n".join(f"<li>{_link(download)}</li>" for download in report.downloads)
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in report.notes)
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, text in (("numbers", sections), ("figures", figures), ("downloads", downloads), ("notes", notes)):
        page = page.replace(f"<!-- {name} -->", text)
    return page


def png_bytes(image: Image.Image) -> bytes:
    """A lossless picture file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _of_part(scores: dict[str, Score], part: str) -> Iterator[tuple[Entry, Score]]:
    for key, entry in CATALOG.items():
        if entry.part == part and key in scores:
            yield entry, scores[key]


def _section(scores: dict[str, Score], part: str) -> str:
    rows = "\n".join(_row(entry, score) for entry, score in _of_part(scores, part))
    if not rows:
        return ""
    heads = "<tr><th>number</th><th>value</th><th>95 % interval</th><th>target</th><th>what it is</th></tr>"
    return f"<h3>{escape(PARTS[part])}</h3>\n<table>\n<thead>{heads}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(entry: Entry, score: Score) -> str:
    state = {True: "reached", False: "missed", None: ""}[entry.reached(score.value)]
    kind = f"{state} {'' if entry.published else 'aside'}".strip()
    cells = (f"<code>{entry.key}</code>", _number(score.value), _interval(score), _target(entry), escape(entry.meaning))
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _figure(figure: Figure) -> str:
    data = base64.b64encode(png_bytes(figure.image)).decode()
    caption = escape(figure.caption)
    picture = f'<img src="data:image/png;base64,{data}" width="{figure.image.width}" alt="{caption}">'
    heading = f"<h3>{escape(figure.title)}</h3>"
    return f'<figure id="{figure.name}">{heading}<div>{picture}</div><figcaption>{caption}</figcaption></figure>'


def _link(download: Download) -> str:
    data = base64.b64encode(download.data).decode()
    name = escape(download.name)
    size = f"{len(download.data) / 1024:.0f} KB"
    return f'<a download="{name}" href="data:model/gltf-binary;base64,{data}">{name}</a> <small>{size}</small>'


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{_number(score.low)} .. {_number(score.high)}"


def _target(entry: Entry) -> str:
    if entry.target is None:
        return ""
    return f"{'≥' if entry.better == 'higher' else '≤'} {entry.target:g}"
