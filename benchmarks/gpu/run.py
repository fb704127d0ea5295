"""What a GPU has to show, in less than eight minutes: `python -m benchmarks.gpu.run [--device cuda] [--output FILE]`.

Every part runs in a process of its own, so that none can spoil the others, and is cut off when its time is over. The
JSON is written anew after every part: its seconds, and what it found or how it failed. On a CPU all sizes are small.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ganverse.devices import default_device
from ganverse.io import write_atomically

BUDGET, LONGEST = 470.0, 150.0
"""Seconds for all parts, and for one of them."""
PARTS = (
    *("machine", "agreement", "tests", "inverse-512", "disentangle-512", "rendering"),
    *("gan", "inverse-64", "disentangle-64", "processes"),
)
"""In the order in which they run: what was never seen on a GPU first."""


def work(part: str, device: torch.device, folder: Path, known: dict[str, Any]) -> Any:
    """The numbers of a part. known: what earlier parts have found."""
    from benchmarks.gpu import checks, steps
    from benchmarks.gpu.sizes import FULL, SMALL

    sizes = FULL if device.type == "cuda" else SMALL
    parts: dict[str, Callable[[], Any]] = {
        "machine": lambda: checks.machine(device),
        "tests": checks.tests,
        "agreement": lambda: checks.agreement(sizes, device),
        "rendering": lambda: checks.rendering(sizes, device, known["machine"]["result"]["copy_gb_per_s"]),
        "processes": lambda: checks.processes(folder, device),
        "gan": lambda: steps.gan(sizes, folder, device),
        "inverse-64": lambda: steps.inverse(sizes, folder, device, large=False),
        "inverse-512": lambda: steps.inverse(sizes, folder, device, large=True),
        "disentangle-64": lambda: steps.disentangle(sizes, folder, device, large=False),
        "disentangle-512": lambda: steps.disentangle(sizes, folder, device, large=True),
    }
    return parts[part]()


def apart(part: str, device: torch.device, output: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """A part in a process of its own: what it found, or the end of what it said."""
    answer = folder / f"{part}.json"
    command = [sys.executable, "-m", "benchmarks.gpu.run", "--device", str(device), "--output", str(output)]
    command += ["--part", part, str(folder)]
    began = time.monotonic()
    worker = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = worker.communicate(timeout=seconds)[1][-3000:]
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)  # with the processes that it has started
        worker.communicate()
        said = f"cut off after {seconds:.0f} s"
    found = {"result": json.loads(answer.read_text())} if answer.exists() else {"error": said}
    return {"seconds": time.monotonic() - began, **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """All parts; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=default_device(), help="cuda or cpu")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="the file for the numbers")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        from benchmarks.gpu.checks import train

        train(Path(options.train[0]), options.device, options.train[1], int(options.train[2]))
        return 0
    report = {"device": str(options.device), "parts": {}}
    if options.part:
        part, folder = options.part
        known = json.loads(options.output.read_text())["parts"] if options.output.exists() else {}
        found = work(part, options.device, Path(folder), known)
        write_atomically(Path(folder) / f"{part}.json", json.dumps(found).encode())
        return 0
    end = time.monotonic() + BUDGET
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only:
            seconds = min(LONGEST, end - time.monotonic())
            found = apart(part, options.device, options.output, Path(folder), max(seconds, 1.0))
            report["parts"][part] = found
            write_atomically(options.output, (json.dumps(report, indent=1) + "\n").encode())
            print(f"{part}: {'failed' if 'error' in found else 'done'} in {found['seconds']:.0f} s", flush=True)
    return int(any("error" in found for found in report["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
