"""Whether and how a run goes to Weights & Biases; a run never waits for a login."""

from __future__ import annotations

import csv
import os
import secrets
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import wandb
import yaml
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganverse.io import write_atomically

WandbMode = Literal["online", "offline", "disabled"]
STEP = "images"
"""The one step axis of every panel: images seen, as in metrics.jsonl."""


def wandb_mode() -> WandbMode:
    """WANDB_MODE where it is set; else on-line with an account (WANDB_API_KEY or `wandb login`), off-line without."""
    asked = os.environ.get("WANDB_MODE")
    if asked in ("online", "offline", "disabled"):
        return cast(WandbMode, asked)
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    known = "WANDB_API_KEY" in os.environ or (netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8"))
    return "online" if known else "offline"


class Dashboard(Logger):
    """Sends what is logged to the W&B run of one stage, over `images`.

    folder: runs/<name>/<stage>; a stage that goes on stays one run (wandb.id), the stages of a run are one group.
    images: counts the images seen. The W&B run begins with the first thing logged and ends with the training, so that
    the next stage of the same process begins its own.
    """

    def __init__(self, folder: Path, images: Callable[[], int]) -> None:
        super().__init__()
        self._folder, self._images = folder, images
        self._run: wandb.Run | None = None

    @property
    def name(self) -> str:
        """Name of the logger, for Lightning."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's identity; made once per stage folder."""
        note = self._folder / "wandb.id"
        if not note.is_file():
            write_atomically(note, secrets.token_hex(8).encode())
        return note.read_text(encoding="utf-8")

    @property
    def run(self) -> wandb.Run:
        """The W&B run, begun on first use."""
        if self._run is None:
            self._run = wandb.init(
                project="ganverse",
                group=self._folder.parent.name,
                name=f"{self._folder.parent.name}-{self._folder.name}",
                job_type=self._folder.name,
                id=self.version,
                dir=self._folder,
                mode=wandb_mode(),
                resume="allow",
                config=self._config(),
            )
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's configuration is the stage's config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """One point of every curve; Lightning's epochs, of which an endless stream has none, are left out."""
        self.run.log({key: value for key, value in metrics.items() if key != "epoch"} | {STEP: self._images()})

    @rank_zero_only
    def log_files(self, files: Mapping[str, Path]) -> None:
        """Pictures (.png), meshes (.glb) and tables (.csv), by the name of their panel."""
        self.run.log({name: _medium(path) for name, path in files.items()} | {STEP: self._images()})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the run."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._run = None

    def _config(self) -> dict[str, Any]:
        path = self._folder / "config.yaml"
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _medium(path: Path) -> wandb.Image | wandb.Object3D | wandb.Table:
    if path.suffix == ".glb":
        return wandb.Object3D(str(path))
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            columns, *rows = csv.reader(file)
        return wandb.Table(columns=list[str | int](columns), data=[[_cell(text) for text in row] for row in rows])
    return wandb.Image(str(path))


def _cell(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
