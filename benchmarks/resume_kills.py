"""kill -9 at random moments, resume, compare: `python -m benchmarks.resume_kills --kills 20`.

Every stage runs once without interruption and once with kills, with networks of a few thousand numbers, on one thread,
through the same functions as `train.py`. A kill comes a random time after the resumed process has made a random number
of steps (or shards), so it hits steps, checkpoints being written and pictures being painted; "all" runs the stages one
after the other and is killed at random times, so also between stages. The inverse stage surveys its cameras all the
while, so that kills come between the batches that a survey collects. In the end every byte of the trained weights (of
the samples on disk for "generate") must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from tests import pipeline_toys as toys

STAGES = ("gan", "generate", "inverse", "disentangle", "all")
RESULTS = ("**/*.safetensors", "generate/shards/**/*", "report/metrics.json")
SURVEYS = (0.0, 0.35, 0.7)
"""Shares of the inverse stage at which its camera surveys begin; each collects six batches, then moves every camera."""
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


def survive(stage: str, kills: int, flags: Sequence[str], folder: Path, seed: int = 0) -> Outcome:
    """Runs a stage whole and in pieces below `folder`, with the same flags (but --run), and compares.

    flags: must be long enough a training for that many kills, and without a limit in minutes.
    """
    command = [] if stage == "all" else [stage]
    whole, pieces = folder / "whole", folder / "pieces"
    _to_its_end([*command, *flags, f"--run={whole}"])
    chance, survived, starts = random.Random(seed), 0, 0
    while True:
        process = _started([*command, *flags, f"--run={pieces}"])
        starts += 1
        if survived < kills and _kill_on_the_way(process, pieces, stage, chance):
            survived += 1
            continue
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"{stage} did not go on after {survived} kills, status {process.exitcode}")
        break
    expected, found = digests(whole), digests(pieces)
    different = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return Outcome(stage, survived, starts, len(expected), tuple(different))


def _started(arguments: list[str]) -> BaseProcess:
    """A process of its own, forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ganverse.pipeline.commands", "ganverse.rendering.warp_backend"])
    process = context.Process(target=_train, args=(arguments,))
    process.start()
    return process


def _to_its_end(arguments: list[str]) -> None:
    process = _started(arguments)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"train {' '.join(arguments)} failed without any kill, status {process.exitcode}")


def _train(arguments: list[str]) -> None:
    """The process that is killed."""
    from ganverse.cli import train

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    sys.exit(train(arguments))


def _kill_on_the_way(process: BaseProcess, run: Path, stage: str, chance: random.Random) -> bool:
    """Whether the process was killed before it came to its end."""
    start, wanted = progress(run, stage), chance.randint(1, 3)
    end = time.monotonic() + PATIENCE
    while process.is_alive() and progress(run, stage) < start + wanted:
        if time.monotonic() > end:
            raise SystemExit(f"{stage} makes no progress in {PATIENCE:g} s")
        time.sleep(0.002)
    process.join(chance.uniform(0.0, 0.1))  # somewhere in the next steps
    if process.exitcode is not None or process.pid is None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


def progress(run: Path, stage: str) -> int:
    """Lines of metrics, shards and finished stages on disk."""
    lines = sum(path.read_bytes().count(b"\n") for path in run.glob("*/metrics.jsonl"))
    return lines + len(list(run.glob("generate/shards/*.json"))) + len(list(run.glob("*/done.json")))


def digests(run: Path) -> dict[str, str]:
    """sha256 of everything a run has made, by name."""
    files = {path for pattern in RESULTS for path in run.glob(pattern) if path.is_file()}
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def long_enough(stage: str, kills: int, folder: Path) -> list[str]:
    """Flags of a training of tiny networks that takes four steps (or shards) for every kill, and some more.

    On a machine of any speed a training must not come to its end before its last kill.
    """
    generator = toys.save_gan(folder)
    steps, shards = 4 * kills + 20, 4 * kills + 8
    common = ["--trainer.checkpoint_minutes=1e-9"]  # after every step
    own = {
        "gan": [f"--images={4 * steps}", "--minutes=null", f"--cache={folder / 'cars.npy'}"],
        "generate": [f"--samples={shards}", "--per_shard=1"],
        "inverse": [f"--schedule.images={4 * steps}", "--minutes=null", *_surveys("")],
        "disentangle": [*_two_halves(steps, ""), f"--inverse={folder / 'teacher/inverse/inverse.safetensors'}"],
        "all": [
            f"--generate.samples={shards // 3}",
            "--generate.per_shard=1",
            f"--inverse.schedule.images={4 * (steps // 3)}",
            "--inverse.minutes=null",
            *_surveys("inverse."),
            *_two_halves(steps // 3, "disentangle."),
        ],
    }
    if stage == "disentangle":
        _to_its_end(["inverse", *toys.stage_flags("inverse", folder / "teacher", generator)])
    pipeline = toys.pipeline_flags(folder, generator) if stage == "all" else toys.stage_flags(stage, folder, generator)
    return [*(flag for flag in pipeline if not flag.startswith("--run=")), *common, *own[stage]]


def _two_halves(steps: int, stage: str) -> list[str]:
    """As many steps of warm-up as of fine-tuning."""
    half = 4 * (steps // 2)
    lengths = [f"--{stage}schedule.{name}_images={half}" for name in ("warm_up", "fine_tune")]
    return [*lengths, f"--{stage}minutes=null"]


def _surveys(stage: str) -> list[str]:
    """Camera surveys from the first step on, which believe the smallest advantage."""
    plan = {"at": list(SURVEYS), "after": 0, "pictures_per_view": 2, "certainty": 0.0}
    return [f"--{stage}schedule.survey.{name}={value}" for name, value in plan.items()]


def main(arguments: Sequence[str] | None = None) -> list[Outcome]:
    """Kill, resume, compare, print; status 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, help=f"of {', '.join(STAGES)}; all of these")
    parser.add_argument("--kills", type=int, default=20, help="per stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    outcomes = []
    for stage in options.stages:
        with tempfile.TemporaryDirectory() as temporary:
            began, folder = time.monotonic(), Path(temporary)
            flags = long_enough(stage, options.kills, folder)
            outcome = survive(stage, options.kills, flags, folder, options.seed)
            spent = time.monotonic() - began
        verdict = "different: " + ", ".join(outcome.different) if outcome.different else "all bytes equal"
        print(f"{stage}: {outcome.kills} kills survived, {outcome.files} files, {verdict} ({spent:.0f} s)", flush=True)
        outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    sys.exit(any(outcome.different for outcome in main()))
