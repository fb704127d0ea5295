"""One training at a time in a run directory."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganverse.errors import GanverseError

LOCK = ".lock"
_PATIENCE = 1.0  # seconds, for a process that is about to end


def is_first_process() -> bool:
    """Whether this process writes files; works before the process group exists."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of `folder`; the first process of a run locks it for all.

    This is the kernel's file lock (on network file systems the server's), released however the process ends.

    Raises:
        GanverseError: another process holds the lock, here or on another machine.
    """
    if not is_first_process():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        holder = path.read_bytes()[:200].decode(errors="replace").split() if path.is_file() else []
        raise GanverseError(
            f"expected no other training in {folder}, but process {' on '.join(holder[:2]) or '?'} is running there; "
            "wait until it ends, or choose another run directory"
        ) from error
    try:
        # like filelock itself on file systems without locks
        path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
