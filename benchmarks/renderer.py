"""What the renderers cost: `python -m benchmarks.renderer [--json FILE]`.

Every contender draws the same eight views of an ellipsoid with three features per corner and a soft silhouette, all in
one run, in turns, so that a busy machine treats them alike. CPU-milliseconds (user + system, the smallest of several
rounds) are per image and count all threads; "ratio" is against DEODR where it is installed. DEODR (`pip install
deodr==0.2.3 trimesh`) does less: a rim of one pixel instead of the 30-face soft mask, no face index, no autograd, and
its silhouette edges are found beforehand, outside the measurement.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_megabytes
from benchmarks.other_renderers import other_renderers
from benchmarks.renderer_scene import Passes, Scene, ellipsoid_scene
from ganverse.io import write_atomically
from ganverse.rendering import dibr_rasterization
from ganverse.rendering.backends import Backend, available_backends, choose_backend

SUBDIVISIONS = {320: 2, 1280: 3, 5120: 4}


@dataclass(frozen=True)
class Measurement:
    """One contender at one size. pass: "forward" or "both"; milliseconds are per image, megabytes per batch."""

    backend: str
    size: int
    faces: int
    passes: str
    cpu_ms: float
    wall_ms: float
    peak_mb: float | None

    def as_json(self) -> dict[str, Any]:
        """The record written by --json, with the key "pass"."""
        record = asdict(self)
        record["pass"] = record.pop("passes")
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Measurement":
        """The measurement of such a record."""
        return cls(passes=record["pass"], **{key: value for key, value in record.items() if key != "pass"})

    @property
    def key(self) -> tuple[int, int, str, str]:
        """What was measured."""
        return self.faces, self.size, self.backend, self.passes


def ganverse_passes(backend: Backend, scene: Scene) -> Passes:
    """DIB-R through one backend."""
    corners = scene.corners.clone().requires_grad_()
    features = scene.features.clone().requires_grad_()

    def forward() -> tuple[torch.Tensor, torch.Tensor]:
        image, mask, _ = dibr_rasterization(
            scene.size, scene.size, scene.z, corners, features, scene.winding, rast_backend=backend
        )
        assert isinstance(image, torch.Tensor)
        return image, mask

    def backward(result: tuple[torch.Tensor, torch.Tensor]) -> None:
        corners.grad = features.grad = None
        torch.autograd.backward(result, (scene.grad_features, scene.grad_mask))

    return Passes(forward, backward)


def contenders(names: Sequence[str], device: torch.device) -> dict[str, Callable[[Scene], Passes]]:
    """Everything that can draw on this device, or the chosen part of it."""
    found: dict[str, Callable[[Scene], Passes]] = {}
    for name in available_backends():
        if name != "kaolin" or device.type == "cuda":
            found[choose_backend(name, device)[0]] = lambda scene, name=name: ganverse_passes(name, scene)
    found |= other_renderers(device)
    return {name: make for name, make in found.items() if not names or name in names}


def measure(
    makers: dict[str, Callable[[Scene], Passes]], scene: Scene, *, seconds: float, most_rounds: int
) -> list[Measurement]:
    """Time all contenders in turns for about `seconds` each."""
    passes = {name: make(scene) for name, make in makers.items()}
    for one in passes.values():
        one.backward(one.forward())
    best = {name: [math.inf] * 4 for name in passes}
    spent = dict.fromkeys(passes, 0.0)
    for _ in range(most_rounds):
        for name, one in passes.items():
            if spent[name] < seconds:
                times = _time(one, scene.corners.device)
                spent[name] += times[3]
                best[name] = [min(pair) for pair in zip(best[name], times, strict=True)]
    images = len(scene.corners)
    rows = []
    for name, one in passes.items():
        cpu_forward, wall_forward, cpu_both, wall_both = (1000 * t / images for t in best[name])
        for label, cpu, wall, work in (
            ("forward", cpu_forward, wall_forward, one.forward),
            ("both", cpu_both, wall_both, lambda one=one: one.backward(one.forward())),
        ):
            peak = peak_megabytes(work, scene.corners.device)
            rows.append(Measurement(name, scene.size, scene.corners.shape[1], label, cpu, wall, peak))
    return rows


def _time(passes: Passes, device: torch.device) -> list[float]:
    """Seconds: CPU and wall of the forward pass, CPU and wall of both."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = passes.forward()
    _finish(device)
    forward = [time.process_time() - cpu, time.perf_counter() - wall]
    passes.backward(result)
    _finish(device)
    return [*forward, time.process_time() - cpu, time.perf_counter() - wall]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep(path: Path, rows: list[Measurement]) -> list[Measurement]:
    """Write measurements to the file; what it holds of other sizes stays, so that a long run can be made in parts.

    Returns all that it now holds.
    """
    earlier = [Measurement.from_json(record) for record in json.loads(path.read_text())] if path.exists() else []
    table = {row.key: row for row in earlier + rows}
    rows = sorted(table.values(), key=lambda row: row.key[:2])
    write_atomically(path, (json.dumps([row.as_json() for row in rows], indent=1) + "\n").encode())
    return rows


def print_table(rows: list[Measurement], console: Console) -> None:
    """One line per contender and size; the ratio compares CPU time with DEODR's in the same run."""
    table = Table(title="per image: CPU-ms (forward), images/s of wall time, peak MB per batch")
    for heading in (
        "faces",
        "size",
        "renderer",
        "CPU-ms both",
        "(forward)",
        "ratio",
        "(forward)",
        "images/s",
        "peak MB",
    ):
        table.add_column(heading, justify="left" if heading == "renderer" else "right")
    by_key = {row.key: row for row in rows}
    for row in rows:
        if row.passes != "both":
            continue
        forward = by_key[row.faces, row.size, row.backend, "forward"]
        bar = by_key.get((row.faces, row.size, "deodr", "both"))
        bar_forward = by_key.get((row.faces, row.size, "deodr", "forward"))
        table.add_row(
            str(row.faces),
            str(row.size),
            row.backend,
            f"{row.cpu_ms:.2f}",
            f"({forward.cpu_ms:.2f})",
            f"{row.cpu_ms / bar.cpu_ms:.2f}" if bar else "-",
            f"({forward.cpu_ms / bar_forward.cpu_ms:.2f})" if bar_forward else "-",
            f"{1000 / row.wall_ms:.0f}",
            "-" if row.peak_mb is None else f"{row.peak_mb:.1f}",
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> list[Measurement]:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the measurements to this file; others in it are kept")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512], help="image sizes in pixels")
    parser.add_argument("--faces", type=int, nargs="+", default=[1280, 5120], choices=sorted(SUBDIVISIONS))
    parser.add_argument("--batch", type=int, default=8, help="images per batch")
    parser.add_argument("--only", nargs="+", default=[], help="names of contenders (default: all)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds per contender and size")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args(arguments)
    makers = contenders(options.only, options.device)
    rows: list[Measurement] = []
    for faces in options.faces:
        for size in options.sizes:
            scene = ellipsoid_scene(SUBDIVISIONS[faces], options.batch, size, options.device)
            rows += measure(makers, scene, seconds=options.seconds, most_rounds=1000)
            if options.json:
                rows = keep(options.json, rows)
    print_table(rows, Console(width=110))
    return rows


if __name__ == "__main__":
    main()
