"""Reading weights and the JSON card beside them: one kind of file for one kind of network, pinned by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganverse.errors import GanverseError
from ganverse.generators.weights import EVALUATION, write_atomically


def read_facts(path: Path, architecture: str, *, key: str = "architecture") -> dict[str, Any]:
    """What the card of the weights at `path` says, without its evaluation; `key` is the line that names the network.

    Raises:
        GanverseError: the card is missing, is no JSON, or belongs to another `architecture`.
    """
    facts = _read(path)
    facts.pop(EVALUATION, None)
    found = facts.get(key, "none")
    if found != architecture:
        raise GanverseError(f"expected the weights of a {architecture} network at {path}, got architecture {found}")
    return facts


def read_kind(path: Path) -> str:
    """The architecture that the card of the weights at `path` names, "none" if it names none; errors as above."""
    return str(_read(path).get("architecture", "none"))


def read_evaluation(path: Path) -> dict[str, Any]:
    """The numbers that the card of the weights at `path` carries, none if there are none; errors as above."""
    found: dict[str, Any] = _read(path).get(EVALUATION, {})
    return found


def write_evaluation(path: Path, evaluation: Mapping[str, Any]) -> None:
    """Puts numbers into the card of the weights at `path`, in place of older ones; errors as above."""
    facts = {**_read(path), EVALUATION: dict(evaluation)}
    write_atomically(path.with_suffix(".json"), (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    card = path.with_suffix(".json")
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise GanverseError(f"expected a card at {card} beside the weights, but it cannot be read ({error})") from error
    except ValueError as error:
        raise GanverseError(f"expected JSON in {card}, got {error}; export the weights again") from error
    if not isinstance(facts, dict):
        raise GanverseError(f"expected a mapping in {card}, got a {type(facts).__name__}; export the weights again")
    return facts


def read_pinned(path: Path, sha256: str) -> bytes:
    """The file at `path`.

    Raises:
        GanverseError: it is missing, or not the one that the card describes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GanverseError(f"expected weights at {path}, but they cannot be read ({error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise GanverseError(f"expected {path} with the sha256 of its card, {sha256[:12]}..., got {found[:12]}...")
    return data
