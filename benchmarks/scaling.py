"""What a second process brings on a CPU: `python -m benchmarks.scaling [STAGE ...]`.

One process with two threads against two processes with one thread each (DDP over gloo), with the networks of the
shipped configurations and the same number of objects a step. All three processes live side by side and take turns, one
step at a time, so that whatever else happens on the machine meets both alike. Printed is images per second of both,
from their median steps, and the ratio of the two in every round: its median and quartiles.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from tests.ports import reserved_port

STAGES = ("gan", "generate", "inverse", "disentangle")
VIEWS = 2
WARM_UP = 2
"""Rounds that do not count: caches fill, DDP sorts its buckets."""
ENDLESS = 10**12
PATIENCE = 300.0
"""Seconds until a process that does not answer is given up."""


@dataclass(frozen=True)
class Scaling:
    """Images per second of one process with two threads and of two with one.

    ratio: of the processes to the threads, median over the rounds; low, high: its quartiles.
    """

    stage: str
    threads: float
    processes: float
    ratio: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, stage: str, images: int, times: Sequence[tuple[float, float]]) -> Scaling:
        """times: wall seconds of a step of the threads and of the processes, by round; images: of a step."""
        threads, processes = np.array(times).T
        low, ratio, high = np.quantile(threads / processes, (0.25, 0.5, 0.75)).tolist()
        speeds = [images / float(np.median(column)) for column in (threads, processes)]
        return cls(stage, *speeds, ratio, low, high, len(times))

    def __str__(self) -> str:
        return (
            f"{self.stage}: {self.threads:.1f} images/s with two threads, {self.processes:.1f} with two processes, "
            f"ratio {self.ratio:.2f} ({self.low:.2f} .. {self.high:.2f}, {self.rounds} rounds)"
        )


class Turns(pl.Callback):
    """Waits for a word before every step, and says when the step is done."""

    def __init__(self, line: Connection) -> None:
        self.line = line

    def on_train_batch_start(self, *_: Any) -> None:
        """Fit."""
        self.line.send("done")
        self.line.recv()

    def on_predict_batch_start(self, *_: Any) -> None:
        """Predict."""
        self.on_train_batch_start()


def work(stage: str, objects: int, folder: str, threads: int, line: Connection, environment: dict[str, str]) -> None:
    """One process: endless steps of a stage, on its own or as one of two (`environment` of torchrun)."""
    from ganverse.training.cli import quieten

    os.environ.update(environment)
    quieten()
    torch.set_num_threads(threads)
    processes = int(environment.get("WORLD_SIZE", 1))
    module, data = opened(stage, objects // processes, Path(folder))
    several = "ddp_find_unused_parameters_true" if getattr(module, "has_idle_parameters", False) else "ddp"
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=several if processes > 1 else "auto",
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[Turns(line)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    if stage == "generate":
        trainer.predict(module, datamodule=data, return_predictions=False)
    else:
        trainer.fit(module, datamodule=data)


def opened(stage: str, objects: int, folder: Path) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    """The stage as configured for the car, from the first step in its most expensive part."""
    from ganverse import DatasetGeneration, Disentanglement, ImageGAN, InverseGraphics, MultiViewStream
    from ganverse.data import WorldImages
    from ganverse.neural_renderer.found_views import FoundViewSettings
    from ganverse.neural_renderer.settings import DisentangleSettings
    from ganverse.tasks.image_gan import DEFAULT_STAGES
    from ganverse.tasks.inverse_graphics import PerceptualSettings

    if stage == "gan":
        last = replace(DEFAULT_STAGES[-1], fade_images=0)
        images = WorldImages(pictures(folder, last.resolution), 64, last.resolution, batch_size=VIEWS * objects)
        return ImageGAN(images=ENDLESS, stages=(last,)), images
    stream = MultiViewStream("car", batch_size=objects)
    if stage == "generate":
        return DatasetGeneration(folder / f"shards-{objects}", samples=10**6, per_file=objects), stream
    if stage == "inverse":
        return InverseGraphics(images=ENDLESS, perceptual=PerceptualSettings(start=0.0, renders=objects // 2)), stream
    settings = DisentangleSettings(
        warm_up_images=0, fine_tune_images=ENDLESS, found_views=FoundViewSettings(candidates=0)
    )
    return Disentanglement("car", settings), stream


def pictures(folder: Path, size: int) -> Path:
    """Noise in place of photographs: the time is the same."""
    path = folder / f"{os.getpid()}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (64, 3, size, size), dtype=np.uint8))
    return path


def measure(stage: str, objects: int, seconds: float) -> Scaling:
    """Rounds of one step of each side until the seconds are over, at least three."""
    os.environ["GOMP_SPINCOUNT"] = "10000"  # as ganverse's own commands do: who waits must not spin for long
    with tempfile.TemporaryDirectory() as folder, started(stage, objects, folder) as lines:
        times = rounds(lines[:1], lines[1:], seconds)
    return Scaling.of(stage, VIEWS * objects, times)


@contextmanager
def started(stage: str, objects: int, folder: str) -> Iterator[list[Connection]]:
    """Lines to the process with two threads and to the two with one; they are ended in the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ganverse.training.cli", "ganverse.rendering.warp_backend"])
    lines, processes = [], []
    try:
        with reserved_port() as port:
            for threads, environment in ((2, {}), *((1, torchrun(rank, port)) for rank in range(2))):
                here, there = context.Pipe()
                process = context.Process(target=work, args=(stage, objects, folder, threads, there, environment))
                process.start()
                there.close()
                lines.append(here)
                processes.append(process)
            for line in lines:
                answer(line)  # ready for its first step
        yield lines
    finally:
        for process in processes:
            process.kill()
            process.join()


def torchrun(rank: int, port: int) -> dict[str, str]:
    """What torchrun would put into the environment of one of two processes."""
    found = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return found | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}


def rounds(one: list[Connection], two: list[Connection], seconds: float) -> list[tuple[float, float]]:
    """Wall seconds of a step of each side, by round; the sides begin in turns. Warm-up is left out."""
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < WARM_UP + 3:
        if len(times) % 2:
            later, first = step(two), step(one)
            times.append((first, later))
        else:
            times.append((step(one), step(two)))
    return times[WARM_UP:]


def step(lines: list[Connection]) -> float:
    """Lets the processes of one side make a step; wall seconds until the last of them is done."""
    began = time.perf_counter()
    for line in lines:
        line.send("go")
    for line in lines:
        answer(line)
    return time.perf_counter() - began


def answer(line: Connection) -> None:
    """Waits for a process.

    Raises:
        SystemExit: it has ended, or says nothing for `PATIENCE` seconds.
    """
    if not line.poll(PATIENCE):
        raise SystemExit(f"a process makes no step in {PATIENCE:g} s")
    try:
        line.recv()
    except EOFError:
        raise SystemExit("a process has ended; what it said stands above") from None


def main(arguments: Sequence[str] | None = None) -> list[Scaling]:
    """Measure, print, return."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, help=f"from {', '.join(STAGES)} (default: all)")
    parser.add_argument("--objects", type=int, default=16, help="objects per step over all processes, two images each")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds per stage, after the start")
    options = parser.parse_args(arguments)
    found = []
    for stage in options.stages:
        found.append(measure(stage, options.objects, options.seconds))
        print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
