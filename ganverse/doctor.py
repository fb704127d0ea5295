"""`ganverse doctor`: versions, devices, the render backend and why, shipped weights, wandb."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ganverse import __version__
from ganverse.inverse.perceptual import available_weights
from ganverse.pretrained import SHIPPED
from ganverse.rendering.backends import choose_backend
from ganverse.training.devices import TrainerSettings, choose_devices
from ganverse.training.weights_and_biases import wandb_mode
from ganverse.viewpoints.view_codes import ViewCodes

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "jsonargparse", "warp-lang", "kaolin", "trimesh", "wandb")


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. healthy: False where something must be repaired."""

    what: str
    state: str
    healthy: bool = True


def doctor_command(arguments: Sequence[str]) -> int:
    """`ganverse doctor`; 0 if all is well, 1 otherwise."""
    ArgumentParser(prog="ganverse doctor", description=__doc__).parse_args(list(arguments))
    findings = [*software(), *devices(), *shipped_weights(), *services()]
    table = Table("what", "state", title=f"ganverse {__version__}")
    for finding in findings:
        table.add_row(finding.what, finding.state if finding.healthy else f"[red]{finding.state}[/red]")
    Console().print(table)
    return 0 if all(finding.healthy for finding in findings) else 1


def software() -> list[Finding]:
    """Python and the packages that matter."""
    return [Finding("Python", f"{platform.python_version()} on {platform.platform()}"), *map(_package, PACKAGES)]


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed" + (" (optional)" if name == "kaolin" else ""), healthy=name == "kaolin")


def devices() -> list[Finding]:
    """What training would run on, and which rasterizer draws there."""
    chosen = choose_devices(TrainerSettings())
    found = [Finding("train.py runs on", chosen.description)]
    for kind in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        backend, reason = choose_backend("auto", torch.device(kind))
        found.append(Finding(f"render backend on {kind}", f"{backend}: {reason}"))
    return found


def shipped_weights(folder: Path = SHIPPED) -> list[Finding]:
    """Every weight file of the package against the hash on its card."""
    paths = sorted(folder.glob("*.safetensors"))
    return [_weights(path) for path in paths] or [Finding("weights", f"none in {folder}", healthy=False)]


def _weights(path: Path) -> Finding:
    card, views = path.with_suffix(".json"), path.with_suffix(".yaml")
    if card.is_file():
        expected = str(json.loads(card.read_text(encoding="utf-8")).get("sha256", ""))
    elif views.is_file():  # content directions are named by the view codes beside them
        expected = ViewCodes.load(views).directions or ""
    else:
        return Finding(path.name, "its card is missing: install ganverse again", healthy=False)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if found != expected:
        return Finding(path.name, f"{size}, damaged (sha256 {found[:12]}...): install ganverse again", healthy=False)
    return Finding(path.name, f"{size}, sha256 {found[:12]}... as on its card")


def services() -> list[Finding]:
    """Perceptual weights and wandb."""
    found = available_weights()
    perceptual = Finding("perceptual weights", ", ".join(found) or "none", healthy=bool(found))
    return [perceptual, Finding("--logger wandb", f"{wandb_mode()} mode")]
