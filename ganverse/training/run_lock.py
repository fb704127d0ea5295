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
_PATIENCE = 1.0  # seconds, for one that is just ending


def is_first_process() -> bool:
    """Whether this process writes files; known before the processes have found each other."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of `folder`; the first process of a run does so for all of them.

    The lock is the kernel's, on network file systems their server's. It ends with its process, however that ends.

    Raises:
        GanverseError: a process holds it, here or on another machine.
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
            f"expected no other training in {folder}, but process {' on '.join(holder[:2]) or '?'} is at work there; "
            "wait until it ends, or choose another run directory"
        ) from error
    try:
        # as filelock itself writes it where the file system knows no locks
        path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
