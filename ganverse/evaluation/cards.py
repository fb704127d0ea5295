"""Each model's own numbers, put into the card beside its weights: whoever has the file has its evaluation."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from ganverse.evaluation.catalog import CATALOG, IDENTITY
from ganverse.evaluation.settings import ModelPaths
from ganverse.pretrained import write_evaluation

_DIGITS = 5
_OWNERS = {"oracle": "oracle", "stylegan_r": "stylegan_r"}


def write_cards(models: ModelPaths, scores: Path) -> list[Path]:
    """Shares the numbers of a scores.json out to the cards of the models that they judge; the weights thus described.

    Raises:
        GanverseError: a card is missing or broken.
    """
    shares: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, score in json.loads(scores.read_text(encoding="utf-8")).items():
        shares[owner(key, models)][key] = {
            n: round(v, _DIGITS) if isinstance(v, float) else v for n, v in score.items()
        }
    written = []
    for name, share in shares.items():
        path = getattr(models, name)
        if path is not None:
            write_evaluation(path, share)
            written.append(path)
    return written


def owner(key: str, models: ModelPaths) -> str:
    """The field of `ModelPaths` whose weights a number judges."""
    entry = CATALOG[key]
    if entry.part == "gan" and key.split("/")[1] in IDENTITY:
        return "generator"
    # photos are put before the network of the GAN, and before the oracle where there is none
    either = "oracle" if models.inverse is None else "inverse"
    return _OWNERS.get(entry.part, either)
