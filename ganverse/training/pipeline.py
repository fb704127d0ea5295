"""Pipelines of stages in one run directory: what bare `python train.py` runs, and rounds of training.

    run: runs/demo                # ${run} in the settings below
    stages:
      NAME:
        fit: {...}                # or predict: settings as in `python train.py fit --config FILE`; or evaluate

A stage writes to RUN/NAME. Finished stages are skipped; an interrupted stage resumes from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os.path import realpath  # `Path.resolve` raises RuntimeError for circular links
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

from ganverse.errors import GanverseError, quoted
from ganverse.io import read_json, read_yaml, write_atomically
from ganverse.pretrained import BrokenCheckpoint
from ganverse.training.cli import CHECKPOINTS, run_lightning
from ganverse.training.run_lock import is_first_process, run_lock

DONE, SETTINGS = "done.json", "stage.yaml"
COMMANDS = ("fit", "predict", "evaluate")


@dataclass(frozen=True)
class Stage:
    """One command with its settings. run: the run directory."""

    name: str
    command: str
    settings: Mapping[str, Any]
    run: Path

    @property
    def folder(self) -> Path:
        """Output folder of the stage."""
        return self.run / self.name

    @property
    def fingerprint(self) -> str:
        """Hash of the stage's command and settings."""
        asked = json.dumps([self.command, self.settings], sort_keys=True, default=str)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]

    @property
    def state(self) -> str:
        """done, new, or interrupted.

        Raises:
            GanverseError: the folder holds a stage with other settings.
        """
        if (self.folder / DONE).is_file():
            state = "done"
            same = read_json(self.folder / DONE, "the stage").get("fingerprint") == self.fingerprint
        elif any((self.folder / CHECKPOINTS).glob("*.ckpt")):
            state, same = "interrupted", read_yaml(self.folder / SETTINGS) == self.settings
        else:
            state, same = "new", True
        if not same:
            raise GanverseError(
                f"expected {self.folder} to hold this stage with these settings, got other settings; choose another "
                "--run, or delete that folder"
            )
        return state


def read_pipeline(path: Path, run: Path | None = None) -> list[Stage]:
    """The stages of a YAML file (see the module); run: overrides the file's run directory.

    Raises:
        GanverseError: the file is missing or not a pipeline.
    """
    found = read_yaml(path)
    if not isinstance(found, dict) or not isinstance(found.get("stages"), dict) or not found["stages"]:
        raise GanverseError(f"expected `run:` and `stages:` in {path}; compare it with configs/demo.yaml")
    folder = run or Path(str(found.get("run", "runs/demo")))
    stages = []
    for name, stage in _filled(found["stages"], folder).items():
        ((command, settings),) = stage.items() if isinstance(stage, dict) and len(stage) == 1 else [("", None)]
        if command not in COMMANDS or not isinstance(settings or {}, dict):
            raise GanverseError(
                f"expected one of {', '.join(COMMANDS)} with its settings in stage {quoted(name)} of {path}, got "
                f"{quoted(stage)}"
            )
        if not Path(realpath(folder / name)).is_relative_to(realpath(folder)) or (folder / name) == folder:
            raise GanverseError(f"expected stages inside the run directory in {path}, got {quoted(name)}; rename it")
        stages.append(Stage(name, command, settings or {}, folder))
    return stages


def _filled(value: Any, run: Path) -> Any:
    """Replaces ${run} by the run directory."""
    if isinstance(value, dict):
        return {str(key): _filled(item, run) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, run) for item in value]
    return Template(value).safe_substitute(run=run) if isinstance(value, str) else value


def run_pipeline(stages: Sequence[Stage], evaluate: Callable[[Sequence[str]], object]) -> None:
    """Runs every unfinished stage; evaluate: function behind `python evaluate.py`.

    Raises:
        GanverseError: bad settings, missing files, or another process is using the run directory.
    """
    spent = []
    with run_lock(stages[0].run):
        states = [stage.state for stage in stages]
        _show(
            "stages",
            ("stage", "command", "state", "folder"),
            [(s.name, s.command, w, s.folder) for s, w in zip(stages, states, strict=True)],
        )
        for stage, state in zip(stages, states, strict=True):
            start = time.monotonic()
            if state != "done":
                _run(stage, evaluate)
            spent.append((stage.name, f"{(time.monotonic() - start) / 60:.1f} min", _results(stage.folder)))
    _show("finished", ("stage", "time", "results"), spent)


def _run(stage: Stage, evaluate: Callable[[Sequence[str]], object]) -> None:
    config = stage.folder / SETTINGS
    # every process writes the same file, because it reads the file right away
    write_atomically(config, yaml.safe_dump(dict(stage.settings), sort_keys=False).encode())
    try:
        _call(stage, config, evaluate)
    except GanverseError:
        if stage.state == "new":  # it produced nothing
            config.unlink(missing_ok=True)
        raise
    if is_first_process():
        write_atomically(stage.folder / DONE, (json.dumps({"fingerprint": stage.fingerprint}) + "\n").encode())


def _call(stage: Stage, config: Path, evaluate: Callable[[Sequence[str]], object]) -> None:
    if stage.command == "evaluate" and not is_first_process():
        return  # one process evaluates
    if stage.command == "evaluate":
        evaluate(["--config", str(config), "--run", str(stage.run), "--output", str(stage.folder)])
    else:
        arguments = [stage.command, "--config", str(config), "--trainer.default_root_dir", str(stage.folder)]
        _resume(arguments, stage.folder / CHECKPOINTS) if stage.command == "fit" else run_lightning(arguments)


def _resume(arguments: Sequence[str], folder: Path) -> None:
    """Runs `fit` from the newest valid checkpoint in `folder`, or from the start if there is none.

    Raises:
        GanverseError: all checkpoints are damaged.
    """
    found = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not found:
        run_lightning(arguments)
    elif not any(_goes_on(arguments, checkpoint) for checkpoint in found):
        raise GanverseError(f"expected a checkpoint in {folder}, all are damaged; delete that folder to start over")


def _goes_on(arguments: Sequence[str], checkpoint: Path) -> bool:
    try:
        run_lightning([*arguments, "--ckpt_path", str(checkpoint)])
    except BrokenCheckpoint as error:
        Console(stderr=True).print(f"{error}; trying the previous one", highlight=False, markup=False, soft_wrap=True)
        return False
    return True


@rank_zero_only
def _show(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console(stderr=True).print(table)


def _results(folder: Path) -> str:
    """The main result files."""
    # of the newest samples (NAME-IMAGES.png) the one written first, which is the module's main image
    order = sorted(folder.glob("samples/*.png"), key=lambda path: (path.stem[-9:], -path.stat().st_mtime_ns))
    found = (*folder.glob("*.safetensors"), *order[-1:], *folder.glob("index.html"), *folder.rglob("kept.png"))
    return ", ".join(map(str, found))
