"""`ganverse doctor`: versions, devices, the render backend and why, shipped weights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ganverse import __version__
from ganverse.arguments import CommandParser
from ganverse.errors import GanverseError, brief
from ganverse.pretrained import SHIPPED

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "jsonargparse", "warp-lang", "kaolin", "trimesh", "wandb")
OPTIONAL = ("kaolin", "wandb")


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. healthy: False where something must be repaired."""

    what: str
    state: str
    healthy: bool = True


def doctor_command(arguments: Sequence[str]) -> int:
    """`ganverse doctor`; 0 if all is well, 1 otherwise."""
    CommandParser(prog="ganverse doctor", description=__doc__).parse_args(list(arguments))
    findings = [examine(what, check) for what, check in checks()]
    table = Table("what", "state", title=f"ganverse {__version__}")
    for finding in findings:
        state = escape(finding.state)
        table.add_row(finding.what, state if finding.healthy else f"[red]{state}[/red]")
    Console().print(table)
    return 0 if all(finding.healthy for finding in findings) else 1


def examine(what: str, check: Callable[[], str]) -> Finding:
    """The state that `check` returns, or what it raises: one broken part hides no other."""
    try:
        return Finding(what, check())
    except Exception as error:  # noqa: BLE001
        return Finding(what, brief(error) or type(error).__name__, healthy=False)


def checks(weights: Path = SHIPPED) -> Iterator[tuple[str, Callable[[], str]]]:
    """All lines: a name, and a function that returns the state or raises. `weights`: folder of the shipped ones."""
    yield "Python", lambda: f"{platform.python_version()} on {platform.platform()}"
    for name in PACKAGES:
        yield name, partial(_version, name)
    yield "computes on", _devices
    for kind in ("cpu", "cuda"):
        yield f"render backend on {kind}", partial(_backend, kind)
    yield "perceptual weights", _perceptual
    yield "weights", partial(_folder, weights)
    for path in sorted(weights.glob("*.safetensors")):
        yield path.name, partial(_weights, path)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        if name in OPTIONAL:
            return "not installed (optional)"
        raise GanverseError("not installed") from error


# What a check examines is imported by the check itself, so that a broken package is one line of the table.


def _devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(gpus) or f"CPU ({torch.get_num_threads()} threads); torch finds no CUDA GPU"


def _backend(kind: str) -> str:
    import torch

    from ganverse.rendering.backends import choose_backend

    if kind == "cuda" and not torch.cuda.is_available():
        return "no CUDA GPU"
    return ": ".join(choose_backend("auto", torch.device(kind)))


def _perceptual() -> str:
    from ganverse.inverse.perceptual import available_weights

    found = available_weights()
    if not found:
        raise GanverseError("none; pip install stlpips-pytorch==0.0.2")
    return ", ".join(found)


def _folder(folder: Path) -> str:
    count = len(list(folder.glob("*.safetensors")))
    if not count:
        raise GanverseError(f"none in {folder}: install ganverse again")
    return f"{count} files in {folder}"


def _weights(path: Path) -> str:
    """A file against the hash on its card."""
    from ganverse.viewpoints.view_codes import ViewCodes

    card, views = path.with_suffix(".json"), path.with_suffix(".yaml")
    if not card.is_file() and not views.is_file():
        raise GanverseError("its card is missing: install ganverse again")
    if card.is_file():
        expected = json.loads(card.read_text(encoding="utf-8"))["sha256"]
    else:  # content directions are named by the view codes beside them
        expected = ViewCodes.load(views).directions
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if found != expected:
        raise GanverseError(f"{size}, damaged (sha256 {found[:12]}...): install ganverse again")
    return f"{size}, sha256 {found[:12]}... as on its card"
