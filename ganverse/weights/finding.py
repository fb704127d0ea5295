"""Where weights lie: in the package, a run directory, a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ganverse.errors import GanverseError
from ganverse.weights.shipped import FOLDER

CHECKPOINT = ".ckpt"
_WEIGHTS = ".safetensors"
_HUB = "hf://"


@dataclass(frozen=True)
class Kind:
    """A kind of network. stage: the run's stage that trains it. file: what that stage leaves. shipped: in the package.

    The word `car` stands for the shipped file.
    """

    stage: str
    file: str
    shipped: str


INVERSE = Kind("inverse", "inverse.safetensors", "inverse-car.safetensors")


def find_weights(source: str | Path, kind: Kind = INVERSE) -> Path:
    """A .safetensors file with its card beside it, or a .ckpt of training.

    source: "car" (the package's own), a run directory or its stage's folder, a .safetensors file, its .json card, a
    .ckpt, or hf://owner/repository[/file.safetensors] of the hub (without a file also plain owner/repository, unless
    there is a folder of that name here).

    Raises:
        GanverseError: there is nothing of the kind.
    """
    text, path = str(source), Path(source)
    if text == "car":
        return FOLDER / kind.shipped
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
    found = [path for path in places if path.is_file()]
    if not found:
        started = (folder / kind.stage / "checkpoints", folder / "checkpoints")
        found = [path / "last.ckpt" for path in started if (path / "last.ckpt").is_file()]
    if not found:
        raise GanverseError(
            f"expected {kind.stage}/{kind.file} or a checkpoint in the run directory {folder}, found neither; train it "
            f"with `python train.py {kind.stage} --run {folder}`"
        )
    return found[0]


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
