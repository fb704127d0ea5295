"""Writes model cards, and the tables of README.md and docs/results.md, from the cards of the shipped weights.

    python evaluate.py                                      # evaluates the shipped weights
    python docs/tables.py runs/shipped/report/scores.json   # writes the results to the cards and the tables

A table stands between `<!-- scores: NAMES -->` and `<!-- end -->`; names may contain wildcards. Tables show only
published numbers of the catalog (`ganverse/evaluation/catalog.py`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ganverse.evaluation.catalog import CATALOG, Entry
from ganverse.model_cards import model_card
from ganverse.pretrained import SHIPPED

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
_HEAD = "| measured | value | 95 % interval | target | name |\n|---|---|---|---|---|"


def judged(key: str) -> str:
    """Name of the shipped weights that a result belongs to."""
    part, name = key.split("/")
    if part == "gan" and name.startswith(("azimuth_", "identity_")):
        return "gan-car"
    return {"stylegan_r": "stylegan-r-car", "edits": "stylegan-r-car", "oracle": "oracle-car"}.get(part, "inverse-car")


def write_cards(written: Mapping[str, Any], folder: Path = SHIPPED) -> None:
    """Writes the results in a scores.json to the cards of the evaluated weights."""
    shares: dict[str, dict[str, Any]] = {}
    for key, score in written["scores"].items():
        share = {name: round(value, 5) if isinstance(value, float) else value for name, value in score.items()}
        # LPIPS depends on its weights
        named = {**share, "perceptual": written["perceptual"]} if "lpips" in key else share
        shares.setdefault(judged(key), {})[key] = named
    for name, share in shares.items():
        path = folder / f"{name}.json"
        card = {**json.loads(path.read_text(encoding="utf-8")), "evaluation": share}
        path.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def scores() -> dict[str, dict[str, float]]:
    """Value, low, high and count of every result in the cards, by name."""
    cards = [json.loads(path.read_text()) for path in sorted(SHIPPED.glob("*.json"))]
    return {name: score for card in cards for name, score in card.get("evaluation", {}).items()}


def filled(page: str) -> str:
    """A page with current tables."""
    found = scores()

    def table(match: re.Match[str]) -> str:
        patterns = match[1].split()
        rows = [
            _row(CATALOG[name], found[name])
            for pattern in patterns
            for name in CATALOG
            if fnmatch(name, pattern) and CATALOG[name].published and name in found
        ]
        return f"<!-- scores: {match[1]} -->\n" + "\n".join([_HEAD, *rows]) + "\n\n<!-- end -->"

    return re.sub(r"<!-- scores: (.*?) -->.*?<!-- end -->", table, page, flags=re.S)


def _row(entry: Entry, score: dict[str, float]) -> str:
    low, high = (score.get(edge) for edge in ("low", "high"))
    interval = "" if low is None or high is None else f"{_text(low)} to {_text(high)}"
    target = "" if entry.target is None else f"{'≥' if entry.better == 'higher' else '≤'} {entry.target:g}"
    target += {True: " ✓", False: " **missed**", None: ""}[entry.reached(score["value"])]
    return f"| {entry.meaning} | {_text(score['value'])} | {interval} | {target} | `{entry.key}` |"


def _text(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


if __name__ == "__main__":
    for file in sys.argv[1:]:
        write_cards(json.loads(Path(file).read_text(encoding="utf-8")))
    for path in SHIPPED.glob("*.json"):
        path.with_suffix(".md").write_text(model_card(path.stem, json.loads(path.read_text())), encoding="utf-8")
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
