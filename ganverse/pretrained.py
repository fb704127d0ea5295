"""Weights on disk: where they are found, the JSON card beside them, and reading them pinned by its sha256.

A network's weights are `NAME.safetensors` with `NAME.json`, its card: architecture, facts of its training, the sha256
of the weights, and the numbers it was given in evaluations. Nothing in these files is executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from torch import nn

from ganverse.errors import GanverseError
from ganverse.io import pack_tensors, write_atomically

SHIPPED = Path(__file__).parent / "weights"
"""The weights inside the package."""
CHECKPOINT = ".ckpt"
EVALUATION = "evaluation"
"""What a card may carry besides the facts of its weights: the numbers they were given."""
_WEIGHTS = ".safetensors"
_HUB = "hf://"


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    stage: of a run, which trains it. file: what that stage leaves. shipped: in the package, what `car` stands for.
    """

    stage: str
    file: str
    shipped: str


INVERSE = Kind("inverse", "inverse.safetensors", "inverse-car.safetensors")
STYLEGAN_R = Kind("disentangle", "stylegan-r.safetensors", "stylegan-r-car.safetensors")
GENERATOR = Kind("gan", "generator.safetensors", "gan-car.safetensors")


def find_weights(source: str | Path, kind: Kind = INVERSE) -> Path:
    """A .safetensors file with its card beside it, or a .ckpt of training.

    Args:
        source: "car" (the package's own), a run directory or its stage's folder, a .safetensors file, its .json card,
            a .ckpt, or hf://owner/repository[/file.safetensors] of the hub (without a file also plain
            owner/repository, unless there is a folder of that name here).
        kind: the network that is looked for.

    Raises:
        GanverseError: there is nothing of the kind.
    """
    text, path = str(source), Path(source)
    if text == "car":
        return SHIPPED / kind.shipped
    if text.startswith(_HUB):
        return _from_hub(text.removeprefix(_HUB), kind)
    if path.is_dir():
        return _in_folder(path, kind)
    if path.suffix == ".json":
        return path.with_suffix(_WEIGHTS)
    if path.suffix in (_WEIGHTS, CHECKPOINT):
        return path
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return _from_hub(text, kind)
    raise GanverseError(
        f"expected weights at {source}: car, a run directory, a {_WEIGHTS} file, its card, a {CHECKPOINT} or "
        "owner/repository of the hub; found none"
    )


def _in_folder(folder: Path, kind: Kind) -> Path:
    places = [folder / kind.stage / kind.file, folder / kind.file]
    places += [folder / kind.stage / "checkpoints" / "last.ckpt", folder / "checkpoints" / "last.ckpt"]
    for path in places:
        if path.is_file():
            return path
    raise GanverseError(
        f"expected {kind.stage}/{kind.file} or a checkpoint in the run {folder}, found neither; train it first"
    )


def _from_hub(name: str, kind: Kind) -> Path:
    """Downloads weights and card into the hub's cache."""
    parts = name.split("/", 2)
    file = parts[2] if len(parts) == 3 else kind.file
    if len(parts) < 2 or not file.endswith(_WEIGHTS):
        raise GanverseError(f"expected {_HUB}owner/repository or {_HUB}owner/repository/file{_WEIGHTS}, got {name}")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise GanverseError(
            f"expected a run directory {name} here, or huggingface-hub to look on the hub, found neither; correct the "
            "path or pip install 'ganverse[hub]'"
        ) from error
    repository = "/".join(parts[:2])
    try:
        hf_hub_download(repository, str(Path(file).with_suffix(".json")))
        return Path(hf_hub_download(repository, file))
    except (OSError, ValueError, RuntimeError) as error:  # the hub's own errors derive from these
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise GanverseError(
            f"expected {file} and its card in {repository} on the hub (no run directory has this name), got: {reason}"
        ) from error


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
    write_card(path, {**_read(path), EVALUATION: dict(evaluation)})


def write_card(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes the card of the weights at `path`."""
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


def save_network(
    network: nn.Module, path: Path, facts: Mapping[str, Any], *, half: bool = True, exact: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Writes `path` (.safetensors) and its card: `facts` plus the file's sha256; returns the card.

    half: store float16. exact: prefixes of the names of tensors that stay as they are.
    """
    data = pack_tensors(dict(network.state_dict()), half=half, exact=exact)
    card = {**facts, "sha256": hashlib.sha256(data).hexdigest()}
    write_atomically(path, data)
    write_card(path, card)
    return card


def load_network(network: nn.Module, path: Path) -> str:
    """Fills `network` (float32) from `path`, freezes it in evaluation mode and returns the file's sha256.

    Raises:
        GanverseError: the file is missing, is not what its card says, or belongs to another architecture.
    """
    digest = str(_read(path).get("sha256"))
    tensors = load_tensors(read_pinned(path, digest))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise GanverseError(f"expected weights of {type(network).__name__} in {path}, got another architecture's")
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return digest
