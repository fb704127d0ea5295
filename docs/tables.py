"""Writes model cards, and the tables of README.md and docs/results.md, from the shipped cards: `python docs/tables.py`.

`python evaluate.py --cards true` writes the cards. A table stands between `<!-- scores: NAMES -->` and `<!-- end -->`;
names may hold wildcards. Published numbers of the catalog only (`ganverse/evaluation/catalog.py`).
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

from ganverse.evaluation.catalog import CATALOG, Entry
from ganverse.model_cards import model_card
from ganverse.pretrained import SHIPPED

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
_HEAD = "| measured | value | 95 % interval | target | name |\n|---|---|---|---|---|"


def scores() -> dict[str, dict[str, float]]:
    """value, low, high and count of every number in the cards, by its name."""
    cards = [json.loads(path.read_text()) for path in sorted(SHIPPED.glob("*.json"))]
    return {name: score for card in cards for name, score in card.get("evaluation", {}).items()}


def filled(page: str) -> str:
    """A page with its tables as the cards have them now."""
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
    for path in SHIPPED.glob("*.json"):
        path.with_suffix(".md").write_text(model_card(path.stem, json.loads(path.read_text())), encoding="utf-8")
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
