"""Whether and how metrics go to Weights & Biases; a run never waits for a login."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal, cast

from pytorch_lightning.loggers import WandbLogger

from ganverse.generators.weights import write_atomically

WandbMode = Literal["online", "offline", "disabled"]


def wandb_mode() -> WandbMode:
    """WANDB_MODE where it is set; else on-line with an account (WANDB_API_KEY or `wandb login`), off-line without."""
    asked = os.environ.get("WANDB_MODE")
    if asked in ("online", "offline", "disabled"):
        return cast(WandbMode, asked)
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    known = "WANDB_API_KEY" in os.environ or (netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8"))
    return "online" if known else "offline"


def wandb_logger(folder: Path) -> WandbLogger:
    """A logger for the stage in runs/<name>/<stage>; a stage that goes on stays one run (wandb.id)."""
    note = folder / "wandb.id"
    if not note.is_file():
        write_atomically(note, secrets.token_hex(8).encode())
    return WandbLogger(
        name=f"{folder.parent.name}-{folder.name}",
        id=note.read_text(encoding="utf-8"),
        save_dir=folder,
        project="ganverse",
        offline=wandb_mode() == "offline",
        resume="allow",
    )
