"""Save and load the package's own small networks: float16 safetensors next to a JSON card that pins their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load as load_tensors
from torch import nn

from ganverse.errors import GanverseError
from ganverse.generators.weights import pack_tensors, write_atomically

FOLDER = Path(__file__).parent

Facts = Mapping[str, str | int | float]


def save_network(network: nn.Module, path: Path, facts: Facts) -> dict[str, str | int | float]:
    """Write `path` (.safetensors, float16) and its card (.json): `facts` plus the file's sha256; returns the card."""
    data = pack_tensors(dict(network.state_dict()), half=True)
    card = {**facts, "sha256": hashlib.sha256(data).hexdigest()}
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())
    return card


def load_network(network: nn.Module, path: Path) -> str:
    """Fill `network` (float32) from `path`, freeze it in evaluation mode and return the file's sha256.

    GanverseError if the file is missing, is not what its card says, or belongs to another architecture.
    """
    try:
        data = path.read_bytes()
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except OSError as error:
        raise GanverseError(f"expected weights and their card at {path}, but they cannot be read ({error})") from error
    digest = hashlib.sha256(data).hexdigest()
    if card.get("sha256") != digest:
        raise GanverseError(f"expected {path} to have the sha256 of its card, got {digest}; restore the file")
    tensors = load_tensors(data)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise GanverseError(f"expected weights of {type(network).__name__} in {path}, got another architecture's")
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return digest
