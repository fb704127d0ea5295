"""The report: a table for the terminal, and one offline page with scores, figures and meshes inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from PIL import Image
from rich.table import Table

from ganverse.evaluation.catalog import CATALOG, PARTS, Entry
from ganverse.evaluation.figures import RECONSTRUCTION_ROW, Figure
from ganverse.evaluation.metrics import Score
from ganverse.io import png_bytes, write_atomically

_HEADINGS = ("number", "value", "95 % interval", "target", "meaning")
_VERDICT = ("gan/iou_unseen", "world/azimuth_error_deg", "stylegan_r/azimuth_error_deg", "stylegan_r/quality_ratio")
"""At the top of the page, after `gan/iou_input`; where some are missing others with a target take their place."""
_ROOM_FOR_MEANINGS = 120  # columns; the other cells take 80
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass
class Report:
    """What the page shows: scores by key, figures, meshes (contents of GLB files by name), notes of a sentence each."""

    scores: dict[str, Score] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    meshes: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_report(report: Report, folder: Path) -> Path:
    """`folder`/index.html, which needs nothing else, and beside it the figures and meshes as files of their own."""
    for figure in report.figures:
        write_atomically(folder / "figures" / f"{figure.name}.png", png_bytes(figure.image, compression=9))
    for name, data in report.meshes.items():
        write_atomically(folder / "meshes" / name, data)
    page = folder / "index.html"
    write_atomically(page, html(report).encode())
    return page


def summary_table(scores: Mapping[str, Score], width: int) -> Table:
    """The table for a terminal of so many columns; a narrow one leaves the meanings to the page."""
    table, columns = Table(title="Evaluation"), 5 if width >= _ROOM_FOR_MEANINGS else 4
    for number, heading in enumerate(_HEADINGS[:columns]):
        table.add_column(heading, justify="right" if 0 < number < 4 else "left", no_wrap=number < 4)
    styles = {"": "", "reached": "green", "missed": "red"}
    for part in PARTS:
        for entry, state, cells in _rows(scores, part):
            table.add_row(entry.key, *cells[: columns - 1], style=styles[state] if entry.published else "dim")
        table.add_section()
    return table


def html(report: Report) -> str:
    """The page."""
    contents = {
        "verdict": _verdict(report),
        "numbers": (_section(report.scores, part) for part in PARTS),
        "notes": (f"<li>{escape(note)}</li>" for note in report.notes),
        "figures": map(_figure, report.figures),
        "meshes": (f"<li>{_download(name, data)}</li>" for name, data in report.meshes.items()),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, lines in contents.items():
        page = page.replace(f"<!-- {name} -->", "\n".join(lines))
    return page


def _verdict(report: Report) -> Iterator[str]:
    """One row of pictures, and five numbers against their targets."""
    for figure in [figure for figure in report.figures if figure.name.endswith("-reconstructions")][:1]:
        height = figure.image.height % RECONSTRUCTION_ROW + RECONSTRUCTION_ROW
        row = figure.image.crop((0, 0, figure.image.width, height))
        picture = _data_url("image/webp", _webp_bytes(row))
        image = f'<img src="{picture}" width="{row.width}" alt="{escape(figure.caption)}">'
        yield f'<div class="strip" tabindex="0" role="region" aria-label="One object">{image}</div>'
    aimed = [key for key, entry in CATALOG.items() if key in report.scores and entry.target is not None]
    first = [key for key in ("gan/iou_input", *_VERDICT) if key in aimed]
    reached = sum(CATALOG[key].reached(report.scores[key].value) is True for key in aimed)
    yield f'<p class="verdict"><strong>{reached} of {len(aimed)} targets reached.</strong></p>\n<ul class="tiles">'
    for key in [*first, *(key for key in aimed if key not in first)][:5]:
        ((state, (value, _, target, meaning)),) = (
            (state, cells) for entry, state, cells in _rows(report.scores, CATALOG[key].part) if entry.key == key
        )
        tile = f"<b>{value}</b> <span>target {escape(target)}</span> <small>{escape(meaning)}</small>"
        yield f'<li class="{state}">{tile}</li>'
    yield "</ul>"


def _rows(scores: Mapping[str, Score], part: str) -> Iterator[tuple[Entry, str, tuple[str, str, str, str]]]:
    """Every score of a part: its entry, whether its target is "reached" or "missed", and its cells but the first."""
    for key, entry in CATALOG.items():
        if entry.part == part and key in scores:
            score = scores[key]
            low_high = (score.low, score.high)
            interval = " .. ".join(_number(edge) for edge in low_high if edge is not None)
            target = "" if entry.target is None else f"{'≥' if entry.better == 'higher' else '≤'} {entry.target:g}"
            state = {True: "reached", False: "missed", None: ""}[entry.reached(score.value)]
            yield entry, state, (_number(score.value), interval, target, entry.meaning)


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _section(scores: Mapping[str, Score], part: str) -> str:
    rows = []
    for entry, state, cells in _rows(scores, part):
        kind = state if entry.published else f"{state} aside".strip()
        cells_ = "".join(f"<td>{cell}</td>" for cell in (f"<code>{entry.key}</code>", *map(escape, cells)))
        rows.append(f'<tr class="{kind}">{cells_}</tr>')
    if not rows:
        return ""
    heads = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    body = "\n".join(rows)
    title = escape(PARTS[part])
    return (
        f'<h3>{title}</h3>\n<div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _figure(figure: Figure) -> str:
    caption, width = escape(figure.caption), figure.image.width
    picture = f'<img src="{_data_url("image/webp", _webp_bytes(figure.image))}" width="{width}" alt="{caption}">'
    heading = f"<h3>{escape(figure.title)}</h3>"
    return f'<figure id="{figure.name}">{heading}<div>{picture}</div><figcaption>{caption}</figcaption></figure>'


def _webp_bytes(image: Image.Image) -> bytes:
    """An eighth of a PNG; the PNGs lie beside the page."""
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=92, method=6)
    return file.getvalue()


def _download(name: str, data: bytes) -> str:
    link = f'<a download="{escape(name)}" href="{_data_url("model/gltf-binary", data)}">{escape(name)}</a>'
    return f"{link} <small>{len(data) / 1024:.0f} KB</small>"


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
