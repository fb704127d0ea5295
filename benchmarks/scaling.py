"""What a second process brings on a CPU: `python -m benchmarks.scaling [STAGE ...]`.

One process with two threads against two processes with one thread each (DDP over gloo), with the networks of the
shipped configurations and the same number of objects a step. All three processes live side by side and take turns, one
step at a time, so that whatever else happens on the machine meets both alike. Printed is images per second of both,
from their median steps, and the ratio of the two in every round: its median and quartiles. With --json they are kept
for docs/scaling.md, each stage in place of what it was there before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from benchmarks.scaling_costs import processor
from tests.ports import reserved_port

STAGES = ("gan", "generate", "inverse", "disentangle")
VIEWS = 2
WARM_UP = 2
"""Rounds that do not count: caches fill, DDP sorts its buckets."""
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
    from ganverse.pipeline.commands import quieten
    from ganverse.training.devices import TrainerSettings
    from ganverse.training.fit import build_trainer, without_advice

    os.environ.update(environment)
    quieten()
    task, data = opened(stage, objects // int(environment.get("WORLD_SIZE", 1)), Path(folder))
    settings = TrainerSettings(accelerator="cpu", precision="32-true", threads=threads, progress="none")
    trainer = build_trainer(settings, [Turns(line)], [], idle_parameters=stage == "disentangle")
    with without_advice():
        if data is None:
            trainer.predict(task, return_predictions=False)
        else:
            trainer.fit(task, data)


def opened(stage: str, objects: int, folder: Path) -> tuple[pl.LightningModule, pl.LightningDataModule | None]:
    """The stage as configured for the car, from the first step in its most expensive part; no data for predictions."""
    from ganverse.data.sources import make_data, make_sampler, open_source
    from ganverse.data.world_images import CachedImages
    from ganverse.pipeline import disentangle, inverse
    from ganverse.pipeline.commands import stage_settings
    from ganverse.tasks.generation import GenerationTask
    from ganverse.tasks.image_gan import ImageGANTask

    if stage == "gan":
        gan = stage_settings("gan", [])
        last = (replace(gan.settings.stages[-1], fade_images=0),)
        settings = replace(gan.settings, stages=last, batch=VIEWS * objects)
        return ImageGANTask(gan.architecture, settings), CachedImages(
            pictures(folder, gan.world.resolution), settings.batch
        )
    config = stage_settings(stage, [])
    config = replace(config, data=replace(config.data, batch=objects))
    source = open_source(config.data)
    if stage == "generate":
        sampler = make_sampler(source, config.data)
        return GenerationTask(sampler, folder / f"shards-{objects}", samples=10**6, per_shard=objects), None
    data = make_data(source, config.data)
    if stage == "inverse":
        schedule = replace(config.schedule, perceptual_start=0.0, perceptual_renders=objects // 2)
        return inverse.make_task(replace(config, schedule=schedule), source, None), data
    config = replace(config, schedule=replace(config.schedule, warm_up_images=0))
    teacher = disentangle.load_inverse(disentangle.teacher_path(config))
    return disentangle.make_task(config, source, teacher), data


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
    context.set_forkserver_preload(["ganverse.pipeline.commands", "ganverse.rendering.warp_backend"])
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


def keep(result: Scaling, objects: int, path: Path) -> None:
    """Puts a stage into the file, in place of what was measured before."""
    stored = json.loads(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else []
    stages = {one["stage"]: one for one in stored} | {result.stage: {**asdict(result), "images": VIEWS * objects}}
    facts = {"machine": processor(), "stages": [stages[name] for name in STAGES if name in stages]}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> list[Scaling]:
    """Measure, print, return."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, help=f"of {', '.join(STAGES)}; all of these")
    parser.add_argument("--objects", type=int, default=8, help="a step, of all processes together; two pictures each")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each stage, once it runs")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args(arguments)
    found = []
    for stage in options.stages:
        found.append(measure(stage, options.objects, options.seconds))
        print(found[-1], flush=True)
        if options.json is not None:
            keep(found[-1], options.objects, options.json)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
