"""`checkpoints/last.ckpt`: everything a run needs to go on, replaced atomically; the one before it is kept."""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ganverse.errors import GanverseError
from ganverse.training.counting import agreed

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
VERSION = 2
"""Of what a checkpoint holds; raised when older ones can no longer be gone on from."""

log = logging.getLogger(__name__)


class LastCheckpoint(pl.Callback):
    """Writes `folder/last.ckpt` every `minutes`, when training stops, and never half of it.

    A run killed at any moment loses at most one interval. Put it last among the callbacks, so that what the others
    decide in the same batch is in the file. identity: the stage and the sha256 of the frozen weights it learns from,
    by name; a checkpoint with another identity is refused (see `check_identity`).
    """

    def __init__(self, folder: Path, minutes: float, identity: Mapping[str, str] | None = None) -> None:
        self._path = folder / LAST
        self._seconds = 60.0 * minutes
        self._written = time.monotonic()
        self._identity = dict(identity or {})

    def state_dict(self) -> dict[str, Any]:
        """Whose checkpoint it is."""
        return {"version": VERSION, "identity": self._identity}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Saves when it is time, or when another callback has asked to stop."""
        due = time.monotonic() - self._written >= self._seconds
        if agreed(trainer, due or trainer.should_stop):
            self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Writes the checkpoint now; every process must call it.

        Raises:
            GanverseError: it cannot be written, because the disk is full for example; the older ones are untouched.
        """
        temporary = self._path.with_name(f".{LAST}.part")
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                _flush(temporary)
                if self._path.is_file():
                    os.replace(self._path, self._path.with_name(PREVIOUS))
                os.replace(temporary, self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise GanverseError(
                f"expected room for a checkpoint in {self._path.parent}, got: {error.strerror or error}; make room, "
                "then the same command goes on from the checkpoint before"
            ) from error
        self._written = time.monotonic()


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint to go on from, if there is one; says so where that is not the newest.

    Raises:
        GanverseError: there are checkpoints, and all of them are damaged.
    """
    found = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    for path in found:
        if _whole(path):
            if path.name == PREVIOUS:
                log.warning("%s is missing or damaged; going on from %s, the one before", folder / LAST, path)
            return path
    if found:
        raise GanverseError(
            f"expected a whole checkpoint in {folder}, all are damaged; delete that folder to start over"
        )
    return None


def check_identity(path: Path, identity: Mapping[str, str]) -> None:
    """Refuses a checkpoint of another stage, of other frozen weights, or of another version of this program.

    Raises:
        GanverseError: as above.
    """
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if "images_seen" not in stored.get("state_dict", {}):
        raise GanverseError(f"expected a checkpoint of this stage at {path}, got something else; choose another --run")
    state = stored.get("callbacks", {}).get(LastCheckpoint.__name__, {"version": VERSION, "identity": {}})
    if state["version"] != VERSION:
        raise GanverseError(
            f"expected a checkpoint of version {VERSION} at {path}, got version {state['version']}; go on with the "
            "release that wrote it, or choose another --run"
        )
    for name, expected in state["identity"].items():
        found = identity.get(name, "none")
        if found != expected:
            raise GanverseError(
                f"expected {name} {expected[:20]}, which {path} was trained with, got {found[:20]}; restore it, or "
                "choose another --run"
            )


def _flush(path: Path) -> None:
    """The data must be on the disk before the name is."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _whole(path: Path) -> bool:
    """Whether every part of the archive has the checksum that its directory names."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
