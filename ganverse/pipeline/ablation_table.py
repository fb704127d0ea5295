"""The numbers of an ablation: means over seeds, differences to the first variant, intervals; as Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

from ganverse.evaluation.catalog import CATALOG

Scores = Mapping[str, Mapping[str, float]]
"""The contents of a scores.json: value, low, high, count by key."""

COLUMNS = {
    "inverse": (
        "iou_input",
        "iou_unseen",
        "lpips_unseen",
        "chroma_unseen",
        "iou_3d",
        "chamfer",
        "azimuth_error_deg",
    ),
    "disentangle": (
        "stylegan_r/azimuth_error_deg",
        "stylegan_r/elevation_rank",
        "stylegan_r/swap_shape_ratio",
        "stylegan_r/swap_texture_ratio",
        "stylegan_r/swap_background_ratio",
        "stylegan_r/identity_color",
        "stylegan_r/quality_ratio",
    ),
}
"""What the Markdown table of a stage shows, of every part that was measured or of one part; the JSON has everything."""


@dataclass(frozen=True)
class Number:
    """One number of one variant.

    mean: over seeds. half: half of its 95 % interval, out of the spread of the held-out objects (the same for every
    seed) and, above one seed, that of the seeds; None where the former is unknown. difference: to the first variant,
    seed by seed, None for itself. difference_half: half of its 95 % interval (Student's t over seeds), None below two
    seeds.
    """

    mean: float
    half: float | None
    difference: float | None = None
    difference_half: float | None = None


@dataclass(frozen=True)
class Row:
    """One variant. seeds: those it was trained with. numbers: by key."""

    name: str
    meaning: str
    seeds: list[int]
    numbers: dict[str, Number]

    def as_json(self) -> dict[str, dict[str, float | None]]:
        """The numbers as mappings."""
        return {key: asdict(number) for key, number in self.numbers.items()}


def rows_of(found: Mapping[str, Mapping[int, Scores]], meanings: Mapping[str, str]) -> list[Row]:
    """A row per variant that has been evaluated; found: scores by variant and seed, the first is compared with."""
    reference = next(iter(found.values()))
    rows = []
    for name, by_seed in found.items():
        keys = [key for key in CATALOG if by_seed and all(key in scores for scores in by_seed.values())]
        other = None if by_seed is reference else reference
        numbers = {key: _number(key, by_seed, other) for key in keys}
        if by_seed:
            rows.append(Row(name, meanings[name], sorted(by_seed), numbers))
    return rows


def _number(key: str, by_seed: Mapping[int, Scores], reference: Mapping[int, Scores] | None) -> Number:
    values = np.array([scores[key]["value"] for scores in by_seed.values()])
    widths = [(s[key].get("low"), s[key].get("high")) for s in by_seed.values()]
    half = None
    if all(low is not None and high is not None for low, high in widths):
        objects = np.mean([(high - low) / 2 for low, high in widths if low is not None and high is not None])
        half = float(math.hypot(objects, interval(values) or 0.0))
    if reference is None:
        return Number(float(values.mean()), half)
    shared = [seed for seed in by_seed if key in reference.get(seed, {})]
    apart = np.array([by_seed[seed][key]["value"] - reference[seed][key]["value"] for seed in shared])
    return Number(float(values.mean()), half, float(apart.mean()) if len(apart) else None, interval(apart))


def interval(values: np.ndarray) -> float | None:
    """Half of the 95 % interval of a mean of few values (Student's t); None below two."""
    if len(values) < 2:
        return None
    return float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def markdown(rows: list[Row], columns: Sequence[str] = COLUMNS["inverse"]) -> str:
    """A table per part: means, below them the difference to the first row with its interval."""
    parts = list(dict.fromkeys(key.split("/")[0] for row in rows for key in row.numbers))
    return "\n".join(table for part in parts if (table := _part(part, rows, columns)))


def _part(part: str, rows: list[Row], columns: Sequence[str]) -> str:
    names = [name if "/" in name else f"{part}/{name}" for name in columns]
    keys = [key for key in names if key.startswith(f"{part}/") and any(key in row.numbers for row in rows)]
    if not keys:
        return ""
    lines = [
        "| variant | seeds | " + " | ".join(f"{key} {_arrow(key)}".strip() for key in keys) + " |",
        "|---" * (len(keys) + 2) + "|",
    ]
    for row in rows:
        cells = [_cell(row.numbers.get(key)) for key in keys]
        lines.append(f"| {row.name}: {row.meaning} | {len(row.seeds)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _arrow(key: str) -> str:
    return {"higher": "↑", "lower": "↓", "neither": ""}[CATALOG[key].better]


def _cell(number: Number | None) -> str:
    if number is None:
        return ""
    mean = f"{number.mean:.3f}" + ("" if number.half is None else f" ± {number.half:.3f}")
    if number.difference is None:
        return mean
    half = "" if number.difference_half is None else f" ± {number.difference_half:.3f}"
    return f"{mean} ({number.difference:+.3f}{half})"
