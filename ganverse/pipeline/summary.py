"""What is about to happen and what came out, as one table each; only the first process speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ganverse.data.sources import DataSettings
from ganverse.pipeline.stages import Step
from ganverse.tasks.image_gan_training import ImageGANRun
from ganverse.training.checkpoints import last_checkpoint
from ganverse.training.devices import choose_devices, is_first_process
from ganverse.training.metrics_log import read_metrics
from ganverse.training.progress import clock


def announce(steps: Sequence[Step]) -> None:
    """Stages, what they learn from, how long they are, where they stand; then run directory and devices."""
    if not is_first_process():
        return
    table = Table("stage", "data", "length", "state", "to go", title="about to run")
    for step in steps:
        source = "car world" if isinstance(step.config, ImageGANRun) else _source(step.config.data)
        table.add_row(step.title, source, step.budget, state(step), to_go(step))
    console = Console(stderr=True)
    console.print(table)
    config = steps[0].config
    devices = choose_devices(config.trainer)
    console.print(f"run directory {config.run}, on {devices.description}", highlight=False, soft_wrap=True)


def _source(data: DataSettings) -> str:
    return data.generator if data.renderer is None else f"{data.generator}, painted by {data.renderer}"


def to_go(step: Step) -> str:
    """How long the rest of a training stage should take: at the pace it had last, and at most its minutes."""
    if step.folder.finished or step.images is None:
        return ""
    limit = None if step.minutes is None else 60.0 * step.minutes
    last = read_metrics(step.folder.path / "metrics.jsonl")[-1:]
    pace = last[0].get("images_per_second") if last else None
    if pace:
        seconds = max(step.images - last[0]["images"], 0) / pace
        return f"about {clock(seconds if limit is None else min(seconds, limit))}"
    return "shown once it runs" if limit is None else f"at most {clock(limit)}"


def state(step: Step) -> str:
    """Done, new, or how far it is."""
    if step.folder.finished:
        return "done"
    if last_checkpoint(step.folder.path / "checkpoints") is None:
        return "goes on" if step.folder.path.is_dir() else "new"
    lines = read_metrics(step.folder.path / "metrics.jsonl")
    return f"goes on, {lines[-1]['images']:,} images seen" if lines else "goes on"


def conclude(steps: Sequence[Step], seconds: Sequence[float]) -> None:
    """Stages, time of this call, and what they have left on disk."""
    if not is_first_process():
        return
    table = Table("stage", "time", "left behind", title="finished")
    for step, spent in zip(steps, seconds, strict=True):
        table.add_row(step.title, clock(spent), ", ".join(_results(step.folder.path)))
    Console(stderr=True).print(table)


def _results(folder: Path) -> list[str]:
    """The files to look at first."""
    weights = [*folder.glob("*.safetensors"), *folder.glob("export/*.safetensors")]
    pictures = sorted(folder.glob("samples/*.png"), key=lambda path: path.stat().st_mtime)[-1:]
    pages = [path for path in (folder / "index.html", folder / "metrics.json") if path.is_file()]
    shards = [folder / "shards"] if (folder / "shards").is_dir() else []
    return [str(path) for path in (*shards, *weights, *pictures, *pages)]
