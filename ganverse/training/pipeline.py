"""Several stages in one run directory: what bare `python train.py` runs, and rounds of training.

    run: runs/demo                # ${run} in the settings below
    stages:
      NAME:
        fit: {...}                # or predict: what `python train.py fit --config FILE` reads; or evaluate: settings

A stage writes below RUN/NAME. Finished stages are skipped, and an interrupted one resumes from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

from ganverse.errors import GanverseError
from ganverse.io import read_yaml, write_atomically
from ganverse.training.cli import CHECKPOINTS, is_checkpoint, run_lightning

DONE, SETTINGS = "done.json", "stage.yaml"
COMMANDS = ("fit", "predict", "evaluate")


@dataclass(frozen=True)
class Stage:
    """One command with its settings; `folder` is where it writes."""

    name: str
    command: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def fingerprint(self) -> str:
        """Of everything the stage was asked for."""
        asked = json.dumps([self.command, self.settings], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]

    @property
    def state(self) -> str:
        """Done, new, or interrupted.

        Raises:
            GanverseError: the folder holds a stage with other settings.
        """
        if (self.folder / DONE).is_file():
            state = "done"
            same = json.loads((self.folder / DONE).read_text(encoding="utf-8")).get("fingerprint") == self.fingerprint
        elif any((self.folder / CHECKPOINTS).glob("*.ckpt")):
            state, same = "interrupted", read_yaml(self.folder / SETTINGS) == self.settings
        else:
            state, same = "new", True
        if not same:
            raise GanverseError(
                f"expected {self.folder} to hold the stage with these settings, it was run with others; choose another "
                "--run, or delete that folder"
            )
        return state


def read_pipeline(path: Path, run: Path | None = None) -> list[Stage]:
    """The stages of a YAML file (see the module); run: another run directory than the file's.

    Raises:
        GanverseError: the file is missing or no pipeline.
    """
    found = read_yaml(path)
    if not isinstance(found, dict) or not isinstance(found.get("stages"), dict) or not found["stages"]:
        raise GanverseError(f"expected `run:` and `stages:` in {path}; compare it with configs/demo.yaml")
    folder = run or Path(str(found.get("run", "runs/demo")))
    text = Template(yaml.safe_dump(found["stages"], sort_keys=False)).safe_substitute(run=folder)
    stages = []
    for name, stage in yaml.safe_load(text).items():
        if not isinstance(stage, dict) or len(stage) != 1 or next(iter(stage)) not in COMMANDS:
            raise GanverseError(f"expected one of {', '.join(COMMANDS)} in stage {name} of {path}, got {stage!r:.60}")
        ((command, settings),) = stage.items()
        stages.append(Stage(str(name), command, settings or {}, folder / str(name)))
    return stages


def run_pipeline(stages: Sequence[Stage], evaluate: Callable[[Sequence[str]], object]) -> None:
    """Runs every stage that is not finished yet; evaluate: what `python evaluate.py` does.

    Raises:
        GanverseError: bad settings or missing files.
    """
    states = [stage.state for stage in stages]
    _show(
        "stages",
        ("stage", "command", "state", "folder"),
        [(s.name, s.command, w, s.folder) for s, w in zip(stages, states, strict=True)],
    )
    spent = []
    for stage, state in zip(stages, states, strict=True):
        start = time.monotonic()
        if state != "done":
            _run(stage, evaluate)
        spent.append((stage.name, f"{(time.monotonic() - start) / 60:.1f} min", _results(stage.folder)))
    _show("finished", ("stage", "time", "results"), spent)


def _run(stage: Stage, evaluate: Callable[[Sequence[str]], object]) -> None:
    config = stage.folder / SETTINGS
    # every process writes the same file, since it reads it at once
    write_atomically(config, yaml.safe_dump(dict(stage.settings), sort_keys=False).encode())
    if stage.command == "evaluate":
        evaluate(["--config", str(config), "--run", str(stage.folder.parent), "--output", str(stage.folder)])
    else:
        arguments = [stage.command, "--config", str(config), "--trainer.default_root_dir", str(stage.folder)]
        checkpoint = newest_checkpoint(stage.folder / CHECKPOINTS)
        if stage.command == "fit" and checkpoint is not None:
            arguments += ["--ckpt_path", str(checkpoint)]
        run_lightning(arguments)
    if is_first_process():
        write_atomically(stage.folder / DONE, (json.dumps({"fingerprint": stage.fingerprint}) + "\n").encode())


def is_first_process() -> bool:
    """Whether this process writes files; known before the processes have found each other."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that can be read, none if there is none.

    Raises:
        GanverseError: there are checkpoints, and none can be read.
    """
    found = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    newest = next(filter(_is_readable, found), None)
    if found and newest is None:
        raise GanverseError(f"expected a checkpoint in {folder}, all are damaged; delete that folder to start over")
    return newest


def _is_readable(checkpoint: Path) -> bool:
    readable = is_checkpoint(checkpoint)
    if not readable:
        Console(stderr=True).print(f"{checkpoint} is damaged; trying the one before")
    return readable


@rank_zero_only
def _show(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console(stderr=True).print(table)


def _results(folder: Path) -> str:
    """The files to look at first."""
    pictures = sorted(folder.glob("samples/*.png"), key=lambda path: path.stat().st_mtime)[-1:]
    pages = [path for path in (folder / "index.html", folder / "kept.png") if path.is_file()]
    return ", ".join(str(path) for path in (*folder.glob("*.safetensors"), *pictures, *pages))
