"""What bad input may cost: 10 seconds of processor time and a gigabyte."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEAKS = Path("/proc/self/clear_refs")
"""Linux resets the peak of memory here."""


@contextmanager
def bounded(seconds: float = 10.0, gigabytes: float = 1.0) -> Iterator[None]:
    """Fails where the block takes more; the memory is looked at on Linux."""
    if PEAKS.exists():
        PEAKS.write_text("5")
    before, start = _peak(), time.process_time()
    yield
    spent, taken = time.process_time() - start, (_peak() - before) / 2**20
    assert spent < seconds, f"{spent:.1f} s"
    assert taken < gigabytes, f"{taken:.2f} GiB"


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) if PEAKS.exists() else 0
