"""Pipelines as processes: killed and resumed, stages skipped when done, other settings refused, two processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from ganverse.cli import BAD_INPUT, INTERRUPTED, train
from ganverse.errors import GanverseError
from ganverse.inverse.weights import load_inverse
from ganverse.neural_renderer.weights import load_stylegan_r
from ganverse.training.pipeline import Stage, _results, read_pipeline
from ganverse.training.run_lock import run_lock
from tests import pipeline_toys as toys
from tests.pipeline_toys import fit, pipeline

ROOT = Path(__file__).parent.parent
PATIENCE = 600.0


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


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def seen(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["images_seen"])


KILLED = """
import os, signal, sys
from ganverse.cli import train
from ganverse.tasks.inverse_graphics import InverseGraphics
step = InverseGraphics.training_step
def killed(module, batch, batch_idx):
    if module.images_seen == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(module, batch, batch_idx)
InverseGraphics.training_step = killed
train(sys.argv[1:])
"""


def test_a_killed_run_goes_on(tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 in the sixth step of a stage; the same command finishes everything, as if nothing had happened."""
    config, run = pipeline(tmp_path, generator), tmp_path / "run"
    with started(["-c", KILLED, "--config", str(config)], tmp_path) as process:
        assert process.wait(PATIENCE) == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (run / "inverse" / "done.json").exists()
    assert seen(run / "inverse" / "checkpoints" / "last.ckpt") == 20
    shards = {path: path.stat().st_mtime_ns for path in (run / "generate" / "shards").glob("*.tar")}

    assert train(["--config", str(config)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (run / "generate" / "shards").glob("*.tar")} == shards
    assert load_inverse(run / "inverse" / "inverse.safetensors").card.images_seen == 40
    assert load_stylegan_r(run / "disentangle" / "stylegan-r.safetensors")[1].images_seen == 12
    metrics = json.loads((run / "report" / "metrics.json").read_text())
    assert {key.split("/")[0] for key in metrics} >= {"gan", "stylegan_r"}
    shown = capsys.readouterr().err
    assert "interrupted" in shown
    assert "done" in shown

    whole = tmp_path / "whole"
    assert train(["--config", str(config), "--run", str(whole)]) == 0
    for name in ("inverse/inverse", "disentangle/stylegan-r"):
        assert (run / f"{name}.safetensors").read_bytes() == (whole / f"{name}.safetensors").read_bytes(), name

    finished = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert train(["--config", str(config)]) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == finished, "all is done"


def test_other_settings_are_refused(tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = {"inverse": fit("InverseGraphics", generator, "inverse.safetensors", images=8)}
    config = tmp_path / "pipeline.yaml"
    run = tmp_path / "run"

    def write(**settings: Any) -> None:
        stages["inverse"]["fit"]["model"]["init_args"].update(settings)
        config.write_text(json.dumps({"run": str(run), "stages": stages}))

    write()
    assert train(["--config", str(config)]) == 0
    write(images=16)
    assert train(["--config", str(config)]) == BAD_INPUT
    assert "expected " in (complaint := capsys.readouterr().err)
    assert "with other" in complaint or "other settings" in complaint
    (run / "inverse" / "done.json").unlink()
    assert train(["--config", str(config)]) == BAD_INPUT, "an interrupted stage too"
    assert train(["--config", str(config), "--run", str(tmp_path / "other")]) == 0
    assert load_inverse(tmp_path / "other" / "inverse" / "inverse.safetensors").card.images_seen == 16


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, generator: Path) -> None:
    command = toys.command("InverseGraphics", tmp_path / "run", generator, images=100_000)
    last, steps = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "run" / "logs/version_0/metrics.csv"
    with started(["-m", "ganverse", "train", *command], tmp_path) as process:
        wait_until(steps.is_file, process, tmp_path / "log")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == INTERRUPTED
    log = (tmp_path / "log").read_text()
    assert log.endswith("interrupted; run it again with --ckpt_path last to resume\n")
    assert "Traceback" not in log
    assert seen(last) > 0, "long before it was time for a checkpoint"


@pytest.mark.parametrize("flags", [["fit"], []], ids=["fit", "pipeline"])
def test_sigterm_before_the_first_batch_ends_with_a_word(flags: list[str], tmp_path: Path, generator: Path) -> None:
    waiting = (
        "import time; from ganverse import tasks; tasks.register = lambda: (print('here', flush=True), time.sleep(999))"
    )
    code = f"import sys; {waiting}; from ganverse.cli import train; sys.exit(train(sys.argv[1:]))"
    with started(["-c", code, *flags], tmp_path) as process:
        wait_until(lambda: "here" in (tmp_path / "log").read_text(), process, tmp_path / "log")
        process.terminate()
        assert process.wait(PATIENCE) == INTERRUPTED
    assert (tmp_path / "log").read_text() == "here\ninterrupted; run the same command again to resume\n"


def test_one_training_at_a_time(tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A living process keeps others out, whatever they run; a killed one does not."""
    run = tmp_path / "run"
    stages = {"inverse": fit("InverseGraphics", generator, "inverse.safetensors", images=100_000)}
    config, last = toys.save_pipeline(tmp_path, stages), run / "inverse" / "checkpoints" / "last.ckpt"
    direct = toys.command("InverseGraphics", run / "inverse", generator, images=8)
    generation = toys.command("DatasetGeneration", tmp_path / "elsewhere", generator, output=run)
    with started([str(ROOT / "train.py"), "--config", str(config)], tmp_path) as process:
        wait_until(last.is_file, process, tmp_path / "log")
        for second in (["--config", str(config)], direct, generation):
            assert train(second) == BAD_INPUT
            sentence = capsys.readouterr().err.splitlines()[-1]
            assert f"but process {process.pid} on {socket.gethostname()} is running there" in sentence
        os.kill(process.pid, signal.SIGKILL)
    assert (run / ".lock").is_file(), "left behind"
    assert train(direct) == 0
    assert not (run / "inverse" / ".lock").exists()
    with run_lock(run):
        pass
    assert not (run / ".lock").exists()


def test_two_processes_run_every_stage(tmp_path: Path, generator: Path) -> None:
    """gloo; Lightning starts the second process by running the script again."""
    config = pipeline(tmp_path, generator, images=16, devices=2, strategy="ddp")
    with started([str(ROOT / "train.py"), "--config", str(config)], tmp_path) as process:
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    for stage in ("generate", "inverse", "disentangle", "report"):
        assert (tmp_path / "run" / stage / "done.json").is_file(), stage
    assert load_inverse(tmp_path / "run" / "inverse" / "inverse.safetensors").card.images_seen == 16
    log = (tmp_path / "log").read_text()
    assert log.count("finished") == 1, "only the first process speaks"


TERMINATED = """
import os, signal, sys
from ganverse.cli import train
from ganverse.tasks.inverse_graphics import InverseGraphics
step = InverseGraphics.training_step
def terminated(module, batch, batch_idx):
    if module.images_seen == 24 and module.global_rank == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(module, batch, batch_idx)
if not os.path.exists("run/inverse/checkpoints"):
    InverseGraphics.training_step = terminated
sys.exit(train(sys.argv[1:]))
"""


def test_two_processes_keep_their_work(tmp_path: Path, generator: Path) -> None:
    """One of them gets the signal, both save and end; the same command goes on as if nothing had happened."""
    inverse = fit("InverseGraphics", generator, "inverse.safetensors", images=96)
    inverse["fit"]["trainer"] |= {"devices": 2, "strategy": "ddp"}
    inverse["fit"]["checkpoint"] = {"train_time_interval": "1:00:00"}
    config, run = toys.save_pipeline(tmp_path, {"inverse": inverse}), tmp_path / "run" / "inverse"
    (tmp_path / "script.py").write_text(TERMINATED)
    with started(["script.py", "--config", str(config)], tmp_path) as process:
        assert process.wait(PATIENCE) == INTERRUPTED, (tmp_path / "log").read_text()
    assert "interrupted; run the same command again to resume" in (tmp_path / "log").read_text()
    assert seen(run / "checkpoints" / "last.ckpt") == 80  # the tenth step
    for more in ([], ["--run", str(tmp_path / "whole")]):
        with started([str(ROOT / "train.py"), "--config", str(config), *more], tmp_path) as process:
            assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    whole = tmp_path / "whole" / "inverse" / "inverse.safetensors"
    assert (run / "inverse.safetensors").read_bytes() == whole.read_bytes()


def test_a_run_can_be_evaluated_again_from_its_own_record(tmp_path: Path, generator: Path) -> None:
    from ganverse.evaluation.command import evaluate_command

    run = tmp_path / "run"
    command = toys.command("InverseGraphics", run / "inverse", generator)
    assert train([*command, "--weights=inverse.safetensors"]) == 0
    small = [f"--{name}={value}" for name, value in toys.EVALUATION.items()]
    first = evaluate_command(["--run", str(run), "--output", str(tmp_path / "a"), *small], "evaluate.py")
    weights = run / "inverse" / "inverse.safetensors"
    asked = ["--checkpoint", str(weights), "--data", str(generator), "--output", str(tmp_path / "b"), *small]
    assert evaluate_command(asked, "evaluate.py") == first
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == pytest.approx(first)
    assert (tmp_path / "a" / "index.html").is_file()
    assert not any(key.startswith(("oracle/", "stylegan_r/")) for key in first)


@contextmanager
def changed(checkpoint: Path) -> Iterator[dict[str, Any]]:
    """The checkpoint's contents, saved again as its newest version."""
    content = torch.load(checkpoint, weights_only=True)
    yield content
    torch.save(content, checkpoint)


def test_a_checkpoint_that_makes_no_sense_gives_way_to_the_one_before(
    tmp_path: Path, generator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged, or whole and nonsense: another content, weights that do not fit, lists in the place of mappings."""
    stages = {"inverse": fit("InverseGraphics", generator, "inverse.safetensors", images=12)}
    config, folder = toys.save_pipeline(tmp_path, stages), tmp_path / "run" / "inverse"
    assert train(["--config", str(config)]) == 0
    (before,) = (folder / "checkpoints").glob("epoch*.ckpt")
    last, weights = folder / "checkpoints" / "last.ckpt", (folder / "inverse.safetensors").read_bytes()
    whole = last.read_bytes()

    def resumed() -> str:
        (folder / "done.json").unlink()
        os.utime(before, (1000, 1000))
        capsys.readouterr()
        assert train(["--config", str(config)]) == 0
        assert (folder / "inverse.safetensors").read_bytes() == weights
        return capsys.readouterr().err

    changes: list[Callable[[dict[str, Any]], object]] = [
        dict.clear,
        lambda content: content.update(state_dict={}),
        lambda content: content.update(state_dict=["weights"]),
        lambda content: content.update(state_dict={"a": torch.zeros(3)}),
        lambda content: content.update(optimizer_states=[["lists"]]),
        lambda content: content.update(loops=[1]),
        lambda content: content.update(callbacks=[]),
        lambda content: content.pop("images_seen"),
        lambda content: content.update(datamodule={}, MultiViewStream=[]),
    ]
    for change in changes:
        last.write_bytes(whole)
        with changed(last) as content:
            change(content)
        assert "trying the previous one" in resumed()
    middle = len(whole) // 2
    for damaged in (whole[:middle], b"", b"just words", whole[:middle] + bytes(64) + whole[middle + 64 :]):
        last.write_bytes(damaged)
        assert "trying the previous one" in resumed()
    for path in (before, last):
        path.write_bytes(b"")
    (folder / "done.json").unlink()
    assert train(["--config", str(config)]) == BAD_INPUT
    assert "all are damaged" in capsys.readouterr().err


def test_stages_are_read_in_order_and_run_is_filled_in(tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(
        "run: runs/x\nstages:\n  b/one: {fit: {weights: '${run}/w'}}\n  a:\n    evaluate:\n  c: {predict: {}}\n"
    )
    first, second, third = read_pipeline(config, tmp_path / "run")
    assert first == Stage("b/one", "fit", {"weights": f"{tmp_path}/run/w"}, tmp_path / "run")
    assert first.folder == tmp_path / "run" / "b" / "one"
    assert (second.command, second.settings, third.name) == ("evaluate", {}, "c")
    assert read_pipeline(config)[0].settings == {"weights": "runs/x/w"}
    assert first.state == "new"


@pytest.mark.parametrize(
    "text",
    ["", "stages: {}\n", "stages: [1]\n", "stages:\n  a: {fly: {}}\n", "stages:\n  a: {fit: {}, predict: {}}\n"],
)
def test_what_is_no_pipeline(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(GanverseError, match="expected"):
        read_pipeline(tmp_path / "a.yaml")


def test_the_table_of_results_names_the_newest_main_image(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for second, name in enumerate(("inverse-000000008", "curves-000000008", "inverse-000000016", "dropped-000000016")):
        path = tmp_path / "samples" / f"{name}.png"
        path.touch()
        os.utime(path, (second, second))
    assert _results(tmp_path) == str(tmp_path / "samples" / "inverse-000000016.png")
