"""One training at a time in a run directory."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ganverse.errors import GanverseError
from ganverse.io import regular

log = logging.getLogger(__name__)

LOCK = ".lock"
_PATIENCE = 1.0  # seconds, for a process that is about to end


def is_first_process() -> bool:
    """Whether this process writes files; works before the process group exists."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of `folder`; the first process of a run locks it for all.

    This is the kernel's file lock (on network file systems the server's), released however the process ends. A warning
    names a process on another machine that left the file behind.

    Raises:
        GanverseError: another process holds the lock, here or on another machine, or the file system has no locks.
    """
    if not is_first_process():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, here = folder / LOCK, socket.gethostname()
    lock, before = FileLock(path), _holder(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise GanverseError(
            f"expected no other training in {folder}, but process {_holder(path) or '?'} is running there; "
            "wait until it ends, or choose another run directory"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        path.unlink(missing_ok=True)
        raise GanverseError(
            f"expected a file system with locks at {folder}, got: {error.strerror}; choose another run directory"
        ) from error
    if before and not before.endswith(f" on {here}"):
        log.warning("%s was left by process %s; make sure that it has ended", path, before)
    try:
        # filelock itself does this on file systems without locks
        path.write_text(f"{os.getpid()}\n{here}\n", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    """`PROCESS on MACHINE` according to the file; empty if it has no contents."""
    try:
        said = regular(path).read_bytes()[:200].decode(errors="replace").split()
    except OSError:
        return ""
    return " on ".join(said[:2])
