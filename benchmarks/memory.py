"""How much memory a piece of work needs at its peak, beyond what the process held before."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch


def peak_megabytes(work: Callable[[], object], device: torch.device) -> float | None:
    """Peak memory of `work` in MB: resident pages on Linux, torch's allocations on CUDA, None elsewhere."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    status, marks = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not marks.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what earlier work freed counts again
    marks.write_text("5")  # the peak starts again from here
    before = _kilobytes(status, "VmRSS")
    work()
    return (_kilobytes(status, "VmHWM") - before) * 1024 / 1e6


def _kilobytes(status: Path, key: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))
