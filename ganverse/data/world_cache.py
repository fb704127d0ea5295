"""Pictures of the car world on disk, for trainings that look at the same images many times."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from ganverse.errors import GanverseError
from ganverse.io import to_bytes
from ganverse.worlds.generator import CarWorldGenerator, world_samples

_CHUNK = 64
_CHUNKS_WORTH_A_PROCESS = 32
_MOST_PROCESSES = 8


@dataclass(frozen=True)
class WorldImages:
    """What a cache file holds: samples 0 ... images - 1 of the car world's stream `seed`."""

    images: int = 40_000
    resolution: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1 or self.resolution < 1:
            raise GanverseError(
                f"Expected at least one image of at least one pixel, got {self.images} of {self.resolution} px; "
                "correct the settings of the world's images."
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, 3, H, W] of the file's array."""
        return self.images, 3, self.resolution, self.resolution


def write_world_images(path: Path, content: WorldImages, *, processes: int | None = None) -> None:
    """Renders the images into a uint8 .npy file, which appears under its name only when it is whole.

    processes: None takes as many as the machine has and the work is worth.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    starts = range(0, content.images, _CHUNK)
    if processes is None:
        processes = min(os.cpu_count() or 1, _MOST_PROCESSES, 1 + len(starts) // _CHUNKS_WORTH_A_PROCESS)
    try:
        np.lib.format.open_memmap(temporary, "w+", np.uint8, content.shape).flush()
        done = _render(temporary, content, starts, processes)
        for _ in track(done, f"Rendering {content.images:,} cars", total=len(starts)):
            pass
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _render(path: Path, content: WorldImages, starts: range, processes: int) -> Iterator[int]:
    """Fills the file and yields the start of every chunk when it is done."""
    if processes == 1:
        for start in starts:
            yield _render_chunk(path, content, start)
        return
    # spawned, not forked: a fork would inherit locks of torch's threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        chunks = [pool.submit(_render_chunk, path, content, start) for start in starts]
        for chunk in as_completed(chunks):
            yield chunk.result()


def _render_chunk(path: Path, content: WorldImages, start: int) -> int:
    indices = range(start, min(start + _CHUNK, content.images))
    _, images, _ = world_samples(content.seed, torch.tensor(indices), CarWorldGenerator(content.resolution))
    pixels = np.lib.format.open_memmap(path, "r+")
    pixels[indices.start : indices.stop] = to_bytes(images).numpy()
    pixels.flush()
    return start
