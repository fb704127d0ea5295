"""The pipeline as processes: killed and resumed, on two processes, stages skipped when done, time budgets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml

from ganverse.cli import INTERRUPTED, train
from ganverse.errors import GanverseError
from ganverse.evaluation.command import evaluate_command
from ganverse.inverse.weights import load_inverse
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.pipeline import stages
from ganverse.pipeline.commands import evaluate_command, stage_settings
from ganverse.pipeline.disentangle import shorten
from ganverse.pipeline.run_directory import StageFolder, leaves, plain
from ganverse.pipeline.summary import state
from ganverse.tasks.disentangle import DisentangleTask
from tests import pipeline_toys as toys

ROOT = Path(__file__).parent.parent
PATIENCE = 900.0


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_gan(tmp_path_factory.mktemp("gan"))


@contextmanager
def started(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, its output in folder/log; it does not outlive the block."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=env, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_metrics(run: Path, stage: str) -> list[dict]:
    path = run / stage / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


KILLED = """
import os, signal, sys
from ganverse.cli import train
from ganverse.tasks.inverse import InverseGraphicsTask
step = InverseGraphicsTask.training_step
def killed(task, batch, index):
    if int(task.images_seen) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(task, batch, index)
InverseGraphicsTask.training_step = killed
train(sys.argv[1:])
"""


def test_a_killed_run_goes_on(tmp_path: Path, generator: Path) -> None:
    """kill -9 in the sixth step of a stage; the same command finishes everything and repeats at most that step."""
    run = tmp_path / "run"
    flags = [*toys.pipeline_flags(run, generator), "--inverse.minutes=null", "--disentangle.minutes=null"]
    flags += ["--inverse.schedule.images=40", "--trainer.checkpoint_minutes=1e-9"]
    with started(["-c", KILLED, *flags], tmp_path) as process:
        assert process.wait(PATIENCE) == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (run / "inverse" / "done.json").exists()
    checkpoint = run / "inverse" / "checkpoints" / "last.ckpt"
    assert int(torch.load(checkpoint, weights_only=True)["state_dict"]["images_seen"]) == 20
    shards = {path: path.stat().st_mtime_ns for path in (run / "generate" / "shards").glob("*.tar")}

    assert train(flags) == 0
    images = [line["images"] for line in read_metrics(run, "inverse")]
    assert images == list(range(4, 44, 4))
    assert {path: path.stat().st_mtime_ns for path in (run / "generate" / "shards").glob("*.tar")} == shards
    assert load_inverse(run / "inverse" / "inverse.safetensors").card.images_seen == 40
    assert load_stylegan_r(run / "disentangle" / "stylegan-r.safetensors")[1].images_seen == 12
    metrics = json.loads((run / "report" / "metrics.json").read_text())
    assert {key.split("/")[0] for key in metrics} >= {"gan", "stylegan_r"}
    assert all(isinstance(value, (int, float)) for value in metrics.values())

    finished = (run / "inverse" / "inverse.safetensors").stat().st_mtime_ns
    assert train(["inverse", *_alone(flags, "inverse")]) == 0
    assert (run / "inverse" / "inverse.safetensors").stat().st_mtime_ns == finished


def _alone(flags: list[str], stage: str) -> list[str]:
    """The flags of one stage out of those of all."""
    names = ("generate", "inverse", "disentangle", "report")
    shared = [flag for flag in flags if not flag.startswith(tuple(f"--{name}." for name in names))]
    return shared + [flag.replace(f"--{stage}.", "--") for flag in flags if flag.startswith(f"--{stage}.")]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, generator: Path) -> None:
    run = tmp_path / "run"
    flags = [*toys.stage_flags("inverse", run, generator), "--schedule.images=100000"]
    with started(["-m", "ganverse", "train", "inverse", *flags], tmp_path) as process:
        wait_until(lambda: len(read_metrics(run, "inverse")) > 3, process, tmp_path / "log")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == INTERRUPTED
    log = (tmp_path / "log").read_text()
    assert "the same command goes on" in log
    assert "Traceback" not in log
    stored = torch.load(run / "inverse" / "checkpoints" / "last.ckpt", weights_only=True)
    assert int(stored["state_dict"]["images_seen"]) == read_metrics(run, "inverse")[-1]["images"]
    config = stage_settings("inverse", flags)
    assert "goes on, " in state(stages.step(config))


def test_two_processes_run_every_stage(tmp_path: Path, generator: Path) -> None:
    """gloo, one step of each stage and more; Lightning starts the second process by running the script again."""
    run = tmp_path / "run"
    two = ["--trainer.devices=2"]
    pipeline = [*toys.pipeline_flags(run, generator), *two]
    gan = [*toys.stage_flags("gan", run, generator), *two, f"--cache={tmp_path / 'cars.npy'}"]
    script = tmp_path / "both.py"
    script.write_text(
        "import sys\nfrom ganverse.cli import train\n"
        f"status = train({pipeline!r})\nsys.exit(status or train({['gan', *gan]!r}))\n"
    )
    with started([str(script)], tmp_path) as process:
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    for stage in ("generate", "inverse", "disentangle", "report", "gan"):
        assert (run / stage / "done.json").is_file(), stage
    log = (tmp_path / "log").read_text()
    assert log.count("about to run") == 2, "only the first process speaks"
    assert "2 processes" in log
    per_step = 2 * 2 * 2  # processes, objects, views
    assert [line["images"] for line in read_metrics(run, "inverse")] == [per_step]
    assert json.loads((run / "gan" / "done.json").read_text())["images"] == 8


def test_shards_train_as_the_stream_does(tmp_path: Path, generator: Path) -> None:
    made = [*toys.stage_flags("generate", tmp_path / "run", generator), "--samples=80", "--per_shard=40"]
    assert train(["generate", *made]) == 0
    shards = tmp_path / "run" / "generate" / "shards"
    weights = []
    for name, extra in (("stream", []), ("shards", [f"--data.shards={shards}"])):
        assert train(["inverse", *toys.stage_flags("inverse", tmp_path / name, generator), *extra]) == 0
        weights.append(load_inverse(tmp_path / name / "inverse" / "inverse.safetensors").network.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_run_can_be_evaluated_again_from_its_own_record(tmp_path: Path, generator: Path) -> None:
    run = tmp_path / "run"
    assert train(["inverse", *toys.stage_flags("inverse", run, generator)]) == 0
    small = toys.flags(toys.EVALUATION)
    first = evaluate_command(["--run", str(run), "--output", str(tmp_path / "a"), *small], "evaluate.py")
    weights = run / "inverse" / "inverse.safetensors"
    asked = ["--checkpoint", str(weights), "--data", str(generator), "--output", str(tmp_path / "b"), *small]
    assert evaluate_command(asked, "evaluate.py") == first
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == pytest.approx(first)
    assert (tmp_path / "a" / "index.html").is_file()
    assert not any(key.startswith(("oracle/", "stylegan_r/")) for key in first)
    stored = yaml.safe_load((run / "inverse" / "config.yaml").read_text())
    assert stored["data"]["generator"] == str(generator)


def test_what_cannot_be_evaluated(tmp_path: Path, generator: Path) -> None:
    with pytest.raises(GanverseError, match="expected a run directory"):
        evaluate_command(["--run", str(tmp_path)], "evaluate.py")
    with pytest.raises(GanverseError, match="both"):
        evaluate_command(["--run", str(tmp_path), "--checkpoint", "x.safetensors"], "evaluate.py")
    with pytest.raises(GanverseError, match=r"\.safetensors"):
        evaluate_command(["--checkpoint", "last.ckpt"], "evaluate.py")
    with pytest.raises(GanverseError, match="stylegan2"):
        evaluate_command(["--checkpoint", str(generator)], "evaluate.py")


def test_a_time_budget_shortens_the_schedules(tmp_path: Path, generator: Path) -> None:
    run = tmp_path / "run"
    flags = [*toys.stage_flags("inverse", run, generator), "--schedule.images=10000000", "--minutes=0.05"]
    assert train(["inverse", *flags]) == 0
    assert 0 < load_inverse(run / "inverse" / "inverse.safetensors").card.images_seen < 1_000_000


def test_a_shortened_disentangle_schedule_keeps_its_shares() -> None:
    schedule = DisentangleSettings(warm_up_images=1000, fine_tune_images=3000)
    task = DisentangleTask.__new__(DisentangleTask)  # what it is made of does not matter here
    task.__dict__.update(settings=schedule, images_seen=torch.tensor(40))
    shorten(task, schedule, 400)
    assert (task.settings.warm_up_images, task.settings.fine_tune_images) == (100, 300)
    task.images_seen.fill_(101)
    shorten(task, schedule, 800)
    assert (task.settings.warm_up_images, task.settings.fine_tune_images) == (100, 700)


def test_stage_folder_remembers(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "stage")
    folder.begin({"run": "a", "minutes": 5.0, "trainer": {"threads": 1}, "x": {"y": (1, 2)}}, {"teacher": "s1"})
    folder.begin({"run": "b", "minutes": None, "trainer": {"threads": 2}, "x": {"y": [1, 2]}}, {"teacher": "s1"})
    with pytest.raises(GanverseError, match=r"x\.y=\[1, 3\] instead of \[1, 2\]"):
        folder.begin({"run": "a", "x": {"y": [1, 3]}}, {"teacher": "s1"})
    with pytest.raises(GanverseError, match="teacher=s2 instead of s1"):
        folder.begin({"run": "a", "x": {"y": [1, 2]}}, {"teacher": "s2"})
    assert not folder.finished
    folder.finish({"images": 3})
    assert folder.finished
    assert folder.facts == {"images": 3}
    with pytest.raises(GanverseError, match="in vain"):
        StageFolder(tmp_path / "other").wait(seconds=0.0)


def test_settings_as_yaml() -> None:
    stored = plain(stage_settings("inverse", ["--seed=3"]))
    assert yaml.safe_load(yaml.safe_dump(stored)) == stored
    assert dict(leaves(stored))["network.axes"] == [0.4, 0.34, 0.98]
