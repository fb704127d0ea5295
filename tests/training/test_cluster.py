"""torchrun and SLURM as far as they go without a cluster: their environment, and a scontrol that takes notes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.tasks.test_training import SETTINGS, Line, Numbers, run

from ganverse.training.checkpoints import last_checkpoint
from ganverse.training.cluster import Launch, launched, requeue
from ganverse.training.devices import TrainerSettings, choose_devices
from ganverse.training.fit import fit
from tests.ports import reserved_port

ROOT = Path(__file__).parent.parent.parent
SBATCH = ROOT / "configs" / "cluster" / "slurm.sbatch"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a scontrol on the PATH was asked for."""
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/notes\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    return tmp_path / "notes"


def test_who_has_started_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched() is None
    monkeypatch.setenv("SLURM_NTASKS", "16")
    assert launched() is None, "no srun"
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert launched() == Launch(8, 2, "srun")
    chosen = choose_devices(TrainerSettings(accelerator="cpu"))
    assert (chosen.count, chosen.nodes) == (8, 2)
    assert "16 processes" in chosen.description
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert launched() is None, "a shell"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert launched() == Launch(2, 3, "torchrun")
    chosen = choose_devices(TrainerSettings(accelerator="cpu", devices=1, nodes=5))
    assert (chosen.count, chosen.nodes) == (1, 5)


def test_jobs_and_arrays_are_requeued(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    requeue()
    assert notes.read_text().splitlines() == ["requeue 4711", "requeue 12_5"]


def test_a_scontrol_that_fails_only_warns(
    notes: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (notes.parent / "bin" / "scontrol").write_text("#!/bin/sh\necho 'Job may not be requeued' >&2\nexit 1\n")
    with caplog.at_level(logging.WARNING, "ganverse"):
        requeue()
        monkeypatch.setenv("PATH", str(notes.parent))
        requeue()
    assert "Job may not be requeued" in caplog.messages[0]
    assert "submit it again" in caplog.messages[1]


class Warned(Line):
    """Gets these signals while it makes its third batch."""

    def __init__(self, signals: list[signal.Signals]) -> None:
        super().__init__()
        self.signals = signals

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor | None:
        if int(self.images_seen) == 8:
            for number in self.signals:
                os.kill(os.getpid(), number)
        return super().training_step(batch, batch_index)


@pytest.mark.parametrize("signals", [[signal.SIGUSR1, signal.SIGUSR1], [signal.SIGTERM]])
def test_a_job_saves_and_only_usr1_requeues_it(notes: Path, tmp_path: Path, signals: list[signal.Signals]) -> None:
    assert not fit(Warned(signals), Numbers(), run(tmp_path, 80), SETTINGS)
    stored = torch.load(last_checkpoint(tmp_path / "checkpoints"), weights_only=True)
    assert int(stored["state_dict"]["images_seen"]) == 12
    assert notes.is_file() == (signal.SIGUSR1 in signals)
    again, straight = Warned([]), Line()
    assert fit(again, Numbers(), run(tmp_path, 80), SETTINGS)
    assert fit(straight, Numbers(), run(tmp_path / "straight", 80), SETTINGS)
    assert torch.equal(again.slope.weight, straight.slope.weight)


TASK = """
import os, signal, sys
from pathlib import Path
import tests.tasks.test_training as toys
from ganverse.training.devices import TrainerSettings
class Warned(toys.Line):
    def training_step(self, batch, batch_index):
        if int(self.images_seen) == 16 and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().training_step(batch, batch_index)
settings = TrainerSettings(accelerator="cpu", precision="32-true", progress="none", threads=1)
sys.exit(0 if toys.fit(Warned(), toys.Numbers(), toys.run(Path(sys.argv[1]), 160), settings) else 130)
"""


def test_two_tasks_of_a_job_stop_together(notes: Path, tmp_path: Path) -> None:
    """What srun would start: two processes, of which the second alone gets the signal."""
    job = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
    job |= {"SLURM_JOB_NAME": "ganverse", "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with reserved_port() as port:
        job["MASTER_PORT"] = str(port)
        tasks = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", TASK, str(tmp_path)],
                env={**os.environ, **job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        said = [task.communicate(timeout=900)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [130, 130], said
    assert notes.read_text().splitlines() == ["requeue 4711"], "once, by the first process"
    stored = torch.load(last_checkpoint(tmp_path / "checkpoints"), weights_only=True)
    assert int(stored["state_dict"]["images_seen"]) == 24


def test_the_batch_script_hands_its_arguments_to_every_task(notes: Path, tmp_path: Path) -> None:
    srun = tmp_path / "bin" / "srun"
    srun.write_text('#!/bin/sh\necho "$@"; echo "threads $OMP_NUM_THREADS"\n')
    srun.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SBATCH), "inverse", "--run", "a folder"],
        env={**os.environ, "SLURM_CPUS_PER_TASK": "8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["--kill-on-bad-exit=1 python train.py inverse --run a folder", "threads 8"]
    options = [line.split()[1] for line in SBATCH.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--signal=USR1@180", "--requeue", "--ntasks-per-node=8", "--gpus-per-node=8"} <= set(options)
