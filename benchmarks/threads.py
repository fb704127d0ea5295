"""What a second core brings: `OMP_WAIT_POLICY=passive python -m benchmarks.threads`.

The scene of `benchmarks.renderer`, forward and backward, with one torch thread and with several, in turns in one
process; wall time, the smallest of all rounds. Run it on an otherwise idle machine.
"""

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from benchmarks.renderer import ganverse_passes
from benchmarks.renderer_scene import ellipsoid_scene


def speed_up(size: int, threads: int, *, batch: int, seconds: float) -> tuple[float, float]:
    """Wall milliseconds per image with one thread, and how many times faster `threads` are."""
    passes = ganverse_passes("warp", ellipsoid_scene(3, batch, size, torch.device("cpu")))
    best = {1: math.inf, threads: math.inf}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for count in best:
            torch.set_num_threads(count)
            passes.backward(passes.forward())  # wakes or sends to sleep the threads of the other count
            began = time.perf_counter()
            for _ in range(3):
                passes.backward(passes.forward())
            best[count] = min(best[count], (time.perf_counter() - began) / 3)
    return 1000 * best[1] / batch, best[1] / best[threads]


def rounds_in(end: float, *, size: int, batch: int) -> int:
    """Batches that one thread draws between three seconds before `end` and `end` (Unix time)."""
    torch.set_num_threads(1)
    passes = ganverse_passes("warp", ellipsoid_scene(3, batch, size, torch.device("cpu")))
    rounds = 0
    while time.time() < end:
        passes.backward(passes.forward())
        rounds += time.time() >= end - 3
    return rounds


def ceiling(size: int, processes: int, *, batch: int) -> float:
    """How many times the images of one process `processes` draw at the same time."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        draw = partial(rounds_in, size=size, batch=batch)
        list(pool.map(draw, [0.0] * processes))  # imports and compiles
        alone = pool.submit(draw, time.time() + 4).result()
        together = sum(pool.map(draw, [time.time() + 4] * processes))
    return together / alone


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Measure, print, return the speed-ups."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512], help="image sizes in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads to compare with one")
    parser.add_argument("--batch", type=int, default=8, help="images per batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds per size")
    parser.add_argument("--ceiling", action="store_true", help="also measure separate processes")
    options = parser.parse_args(arguments)
    before, found = torch.get_num_threads(), []
    for size in options.sizes:
        one, factor = speed_up(size, options.threads, batch=options.batch, seconds=options.seconds)
        print(f"{size:4d} px: {one:.2f} ms an image with one thread, {factor:.2f} times as fast with {options.threads}")
        if options.ceiling:
            most = ceiling(size, options.threads, batch=options.batch)
            print(f"         {options.threads} processes: {most:.2f} times the images of one")
        found.append(factor)
    torch.set_num_threads(before)
    return found


if __name__ == "__main__":
    main()
