"""What a second process brings on a CPU: `python -m benchmarks.scaling [STAGE ...]`.

One process with two threads against two processes with one thread each (DDP over gloo), with the networks of the
shipped configurations and the same number of objects a step. All three processes live side by side and take turns, one
step at a time, so that whatever else happens on the machine meets both alike. Printed is images per second of both and
their ratio, from the sums over all rounds but the first. Nothing is saved.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

STAGES = ("gan", "generate", "inverse", "disentangle")
VIEWS = 2


@dataclass(frozen=True)
class Scaling:
    """Images per second of one process with two threads and of two with one; their ratio; rounds behind it."""

    stage: str
    threads: float
    processes: float
    rounds: int

    @property
    def ratio(self) -> float:
        """Of the processes to the threads."""
        return self.processes / self.threads


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
    from ganverse.tasks.devices import TrainerSettings
    from ganverse.tasks.training import build_trainer, without_advice

    os.environ.update(environment)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
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
    from ganverse.data.world_images import CachedImages
    from ganverse.pipeline import disentangle, inverse
    from ganverse.pipeline.commands import stage_settings
    from ganverse.pipeline.sources import make_data, make_sampler, open_source
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
        return inverse.make_task(replace(config, schedule=schedule), source), data
    config = replace(config, schedule=replace(config.schedule, warm_up_images=0))
    teacher = disentangle.load_inverse(disentangle.teacher_path(config))
    return disentangle.make_task(config, source, teacher), data


def pictures(folder: Path, size: int) -> Path:
    """Noise in place of photographs: the time is the same."""
    path = folder / f"{os.getpid()}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (64, 3, size, size), dtype=np.uint8))
    return path


def measure(stage: str, objects: int, seconds: float) -> Scaling:
    """Rounds of one step each until the seconds are over, at least three."""
    os.environ["OMP_WAIT_POLICY"] = "passive"  # who waits for a turn must not spin
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ganverse.pipeline.commands", "ganverse.rendering.warp_backend"])
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared |= {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0"}
        ranks = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
        lines, processes = [], []
        for threads, environment in ((2, {}), (1, ranks[0]), (1, ranks[1])):
            here, there = context.Pipe()
            process = context.Process(target=work, args=(stage, objects, folder, threads, there, environment))
            process.start()
            there.close()
            lines.append(here)
            processes.append(process)
        try:
            times = _rounds(lines[:1], lines[1:], seconds)
        finally:
            for process in processes:
                process.kill()
                process.join()
    images = VIEWS * objects
    one, two = (statistics.fmean(column) for column in zip(*times, strict=True))
    return Scaling(stage, images / one, images / two, len(times))


def _rounds(one: list[Connection], two: list[Connection], seconds: float) -> list[tuple[float, float]]:
    """Wall seconds of a step of each side, in turns; the first round warms up."""
    for line in (*one, *two):
        line.recv()  # ready
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 4:
        times.append((_step(one), _step(two)))
    return times[1:]


def _step(lines: list[Connection]) -> float:
    began = time.perf_counter()
    for line in lines:
        line.send("go")
    for line in lines:
        line.recv()
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> list[Scaling]:
    """Measure, print, return."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, help=f"of {', '.join(STAGES)}; all of these")
    parser.add_argument("--objects", type=int, default=8, help="a step, of all processes together; two pictures each")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each stage")
    options = parser.parse_args(arguments)
    found = []
    for stage in options.stages:
        result = measure(stage, options.objects, options.seconds)
        print(
            f"{stage}: {result.threads:.1f} images/s with two threads, {result.processes:.1f} with two processes, "
            f"ratio {result.ratio:.2f} ({result.rounds} rounds)",
            flush=True,
        )
        found.append(result)
    return found


if __name__ == "__main__":
    main()
