"""`ganverse doctor`: versions, devices, render backends, shipped weights."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ganverse import __version__
from ganverse.arguments import CommandParser
from ganverse.errors import GanverseError, brief
from ganverse.pretrained import SHIPPED, read_card, read_pinned

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "jsonargparse", "warp-lang", "kaolin", "trimesh", "wandb")
OPTIONAL = ("kaolin", "wandb")


def doctor_command(arguments: Sequence[str], weights: Path = SHIPPED) -> int:
    """`ganverse doctor`; returns 0 if all checks pass, else 1. weights: folder of the shipped weights."""
    CommandParser(prog="ganverse doctor", description=__doc__).parse_args(list(arguments))
    table, status = Table("what", "state", title=f"ganverse {__version__}"), 0
    for what, check in checks(weights):
        try:
            table.add_row(what, escape(check()))
        except Exception as error:  # noqa: BLE001, PERF203  (one failure must not hide the other checks)
            table.add_row(what, f"[red]{escape(brief(error) or type(error).__name__)}[/red]")
            status = 1
    Console().print(table)
    return status


def checks(weights: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """All checks: a name, and a function that returns the state or raises."""
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


# Each check imports what it needs, so that a broken package is one line of the table.


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
        raise GanverseError("not found; pip install stlpips-pytorch==0.0.2")
    return ", ".join(found)


def _folder(folder: Path) -> str:
    count = len(list(folder.glob("*.safetensors")))
    if not count:
        raise GanverseError(f"none in {folder}; reinstall ganverse")
    return f"{count} files in {folder}"


def _weights(path: Path) -> str:
    """Checks a file against the hash in its card; content directions are named after the view codes beside them."""
    from ganverse.viewpoints.view_codes import ViewCodes

    views = path.with_suffix(".yaml")
    sha256 = str(ViewCodes.load(views).directions if views.is_file() else read_card(path)["sha256"])
    return f"{len(read_pinned(path, sha256)) / 1e6:.1f} MB, sha256 {sha256[:12]}... matches its card"
