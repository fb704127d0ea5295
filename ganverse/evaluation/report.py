"""The report: a terminal table, and one offline page with scores, figures and meshes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from PIL import Image
from rich.table import Table

from ganverse.evaluation.catalog import CATALOG, PARTS, Entry
from ganverse.evaluation.figures import Figure
from ganverse.evaluation.metrics import Score
from ganverse.io import png_bytes, write_together

Row = tuple[Entry, str, tuple[str, str, str, str]]
"""A table row: the entry, the state of its target ("reached", "missed" or ""), and all cells but the first."""

_HEADINGS = ("number", "value", "95 % interval", "target", "meaning")
_VERDICT = ("gan/iou_unseen", "world/azimuth_error_deg", "stylegan_r/azimuth_error_deg", "stylegan_r/quality_ratio")
"""Shown at the top of the page after `gan/iou_input`; missing ones are replaced by others with a target."""
_ROOM_FOR_MEANINGS = 120  # columns; the other cells take 80
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass
class Report:
    """Contents of the page: scores by key, figures, meshes (GLB contents by name), one-sentence notes."""

    scores: dict[str, Score] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    meshes: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_report(report: Report, folder: Path, others: Mapping[str, bytes] | None = None) -> Path:
    """Writes `folder`/index.html, which is self-contained, and figures, meshes and other files beside it."""
    page = folder / "index.html"
    files = {f"figures/{figure.name}.png": png_bytes(figure.image, compression=9) for figure in report.figures}
    files |= {f"meshes/{name}": data for name, data in report.meshes.items()}
    write_together({**{folder / k: v for k, v in {**files, **(others or {})}.items()}, page: html(report).encode()})
    return page


def summary_table(scores: Mapping[str, Score], width: int) -> Table:
    """Table for a terminal of `width` columns; narrow ones omit the meanings."""
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
    tables = [(title, rows) for part, title in PARTS.items() if (rows := list(_rows(report.scores, part)))]
    pictures = [(figure, _picture(figure.image)) for figure in report.figures]
    meshes = [(name, len(data), _data_url("model/gltf-binary", data)) for name, data in report.meshes.items()]
    template = jinja2.Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True)
    return template.render(
        headings=_HEADINGS,
        tables=tables,
        notes=report.notes,
        figures=pictures,
        meshes=meshes,
        strip=_strip(report),
        verdict=_verdict([row for _, rows in tables for row in rows]),
    )


def _strip(report: Report) -> tuple[Figure, str] | None:
    """First object of the first reconstruction figure, for the top of the page."""
    for figure in report.figures:
        if figure.name.endswith("-reconstructions"):
            return figure, _picture(
                figure.image.crop((0, 0, figure.image.width, figure.image.info.get("row", figure.image.height)))
            )
    return None


def _verdict(rows: Sequence[Row]) -> tuple[int, int, list[Row]]:
    """Number of reached targets, number of targets, and the five numbers shown first."""
    aimed = {row[0].key: row for row in rows if row[0].target is not None}
    first = {key: aimed[key] for key in ("gan/iou_input", *_VERDICT) if key in aimed}
    reached = sum(state == "reached" for _, state, _ in aimed.values())
    return reached, len(aimed), list((first | aimed).values())[:5]


def _rows(scores: Mapping[str, Score], part: str) -> Iterator[Row]:
    """All scores of a part."""
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


def _picture(image: Image.Image) -> str:
    """As WebP, an eighth of the size of a PNG; the PNGs are beside the page."""
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=92, method=6)
    return _data_url("image/webp", file.getvalue())


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
