"""kill -9 at random moments, resume, compare: `python -m benchmarks.resume_kills --kills 20`.

Every stage runs once without interruption and once with kills, with networks of a few thousand numbers, on one thread,
as a pipeline of `train.py` that saves after every step. A kill comes a random time after the resumed process has made a
random number of steps (or files), so it hits steps, checkpoints being written and pictures being made; "all" runs the
stages one after the other and is killed between them too. The inverse stage surveys its cameras all the while. In the
end every byte of the trained weights (of the samples on disk for "generate") must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from tests import pipeline_toys as toys

STAGES = ("gan", "generate", "inverse", "disentangle", "all")
RESULTS = ("**/*.safetensors", "generate/shards/**/*")
SURVEY = {"at": [0.0, 0.35, 0.7], "after": 0, "pictures_per_view": 2, "certainty": 0.0}
"""Each survey collects six batches, then moves cameras at the smallest advantage."""
PATIENCE = 300.0
"""Seconds until a process that makes no progress is given up."""


@dataclass(frozen=True)
class Outcome:
    """How a stage came through: kills survived, processes started, files compared, and which of them differ."""

    stage: str
    kills: int
    starts: int
    files: int
    different: tuple[str, ...]


def survive(stage: str, kills: int, pipeline: Path, folder: Path, seed: int = 0) -> Outcome:
    """Runs a pipeline whole and in pieces below `folder`, and compares; it must be long enough for that many kills."""
    whole, pieces = folder / "whole", folder / "pieces"
    _to_its_end(pipeline, whole)
    chance, survived, starts = random.Random(seed), 0, 0
    while True:
        process = _started(pipeline, pieces)
        starts += 1
        if survived < kills and _kill_on_the_way(process, pieces, chance):
            survived += 1
            continue
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"{stage} did not go on after {survived} kills, status {process.exitcode}")
        break
    expected, found = digests(whole), digests(pieces)
    different = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return Outcome(stage, survived, starts, len(expected), tuple(different))


def _started(pipeline: Path, run: Path) -> BaseProcess:
    """A process of its own, forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ganverse.training.pipeline", "ganverse.rendering.warp_backend"])
    process = context.Process(target=_train, args=(["--config", str(pipeline), "--run", str(run)],))
    process.start()
    return process


def _to_its_end(pipeline: Path, run: Path) -> None:
    process = _started(pipeline, run)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{pipeline} failed without any kill, status {process.exitcode}")


def _train(arguments: list[str]) -> None:
    """The process that is killed."""
    from ganverse.cli import train

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    sys.exit(train(arguments))


def _kill_on_the_way(process: BaseProcess, run: Path, chance: random.Random) -> bool:
    """Whether the process was killed before it came to its end."""
    start, wanted = progress(run), chance.randint(1, 3)
    end = time.monotonic() + PATIENCE
    while process.is_alive() and progress(run) < start + wanted:
        if time.monotonic() > end:
            raise SystemExit(f"no progress in {PATIENCE:g} s in {run}")
        time.sleep(0.002)
    process.join(chance.uniform(0.0, 0.1))  # somewhere in the next steps
    if process.exitcode is not None or process.pid is None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


def progress(run: Path) -> int:
    """Steps of the newest checkpoints, files of samples and finished stages on disk."""
    steps = [
        int(found[1]) for path in run.glob("*/checkpoints/*.ckpt") if (found := re.search(r"step=(\d+)", path.name))
    ]
    return sum(steps) + len(list(run.glob("generate/shards/*.json"))) + len(list(run.glob("*/done.json")))


def digests(run: Path) -> dict[str, str]:
    """sha256 of everything a run has made, by name."""
    files = {path for pattern in RESULTS for path in run.glob(pattern) if path.is_file()}
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def long_enough(stage: str, kills: int, folder: Path) -> Path:
    """A pipeline of tiny networks with four steps (16 files, which take less time) for every kill, and some more.

    On a machine of any speed a training must not come to its end before its last kill.
    """
    generator = toys.save_gan(folder)
    steps = (4 * kills + 20) // (3 if stage == "all" else 1)
    halves = {f"settings.{name}_images": 4 * (steps // 2) for name in ("warm_up", "fine_tune")}
    survey = {f"survey.{name}": value for name, value in SURVEY.items()}
    stages: dict[str, dict[str, Any]] = {
        "generate": toys.predict(generator, samples=4 * steps, per_file=1),
        "inverse": toys.fit("InverseGraphics", generator, "inverse.safetensors", images=4 * steps, **survey),
        "disentangle": toys.fit(
            "Disentanglement",
            generator,
            "stylegan-r.safetensors",
            inverse="${run}/inverse/inverse.safetensors",
            **halves,
        ),
        "gan": toys.fit("ImageGAN", folder / "cars.npy", "generator.safetensors", images=4 * steps),
    }
    if stage == "disentangle":
        first = folder / "first"
        first.mkdir()
        short = toys.fit("InverseGraphics", generator, "inverse.safetensors")
        _to_its_end(toys.save_pipeline(first, {"inverse": short}), first / "run")
        trained = first / "run" / "inverse" / "inverse.safetensors"
        stages["disentangle"]["fit"]["model"]["init_args"]["inverse"] = str(trained)
    chosen = ("generate", "inverse", "disentangle") if stage == "all" else (stage,)
    return toys.save_pipeline(folder, {name: stages[name] for name in chosen})


def main(arguments: Sequence[str] | None = None) -> list[Outcome]:
    """Kill, resume, compare, print; status 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, help=f"from {', '.join(STAGES)} (default: all)")
    parser.add_argument("--kills", type=int, default=20, help="kills per stage")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times")
    options = parser.parse_args(arguments)
    outcomes = []
    for stage in options.stages:
        with tempfile.TemporaryDirectory() as temporary:
            began, folder = time.monotonic(), Path(temporary)
            outcome = survive(stage, options.kills, long_enough(stage, options.kills, folder), folder, options.seed)
            spent = time.monotonic() - began
        verdict = "different: " + ", ".join(outcome.different) if outcome.different else "all bytes equal"
        print(f"{stage}: {outcome.kills} kills survived, {outcome.files} files, {verdict} ({spent:.0f} s)", flush=True)
        outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    sys.exit(any(outcome.different for outcome in main()))
