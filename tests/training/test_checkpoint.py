"""Interrupted trainings save at the end of the step and go on to the same bits; a second signal ends them at once."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment

from ganverse.training.checkpoint import TimedCheckpoint
from tests.tasks.toys import differences, trainer
from tests.training.lines import BATCH, Line, Numbers

STEPS = 6


def fit(folder: Path, module: Line, resume: Path | None = None, **settings: object) -> dict:
    """The last checkpoint after six steps at most; the clock never saves."""
    keep = TimedCheckpoint(folder, train_time_interval=timedelta(hours=1), save_last=True, monitor="step", mode="max")
    steps = STEPS * (1 if module.automatic_optimization else 2) // int(str(settings.get("accumulate_grad_batches", 1)))
    own = {"enable_checkpointing": True, "max_steps": steps, "limit_val_batches": 0, "callbacks": [keep], **settings}
    made = trainer(folder, **own)
    made.fit(module, datamodule=Numbers(), ckpt_path=resume)
    return torch.load(folder / "last.ckpt", weights_only=True)


class Interrupted(Line):
    """Gets signals in the middle of the step that follows so many images."""

    def __init__(self, images: int, *numbers: signal.Signals, two_optimizers: bool = False) -> None:
        super().__init__(two_optimizers=two_optimizers)
        self.moment, self.numbers = images, numbers

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor | None:
        if self.images_seen == self.moment:
            for number in self.numbers:
                os.kill(os.getpid(), number)
        return super().training_step(batch, batch_index)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("two_optimizers", [False, True])
@pytest.mark.parametrize("step", [0, 2, STEPS - 1])
def test_an_interrupted_training_saves_and_goes_on(
    number: signal.Signals, two_optimizers: bool, step: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    whole = fit(tmp_path / "whole", Line(two_optimizers=two_optimizers))
    with pytest.raises(SystemExit):
        fit(tmp_path, Interrupted(step * BATCH, number, two_optimizers=two_optimizers))
    assert "saving soon; interrupt again to stop at once" in capfd.readouterr().err
    last = tmp_path / "last.ckpt"
    assert torch.load(last, weights_only=True)["images_seen"] == (step + 1) * BATCH
    assert len(list(tmp_path.glob("*.ckpt"))) == 2, "the one before last.ckpt is there too"
    assert {one: signal.getsignal(one) for one in before} == before
    found = fit(tmp_path, Line(two_optimizers=two_optimizers), last)
    assert found["images_seen"] == whole["images_seen"] == STEPS * BATCH
    assert differences(found["state_dict"], whole["state_dict"]) == {}


def test_gradients_that_are_collected_are_not_lost(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Line(), accumulate_grad_batches=2)
    with pytest.raises(SystemExit):
        fit(tmp_path, Interrupted(2 * BATCH, signal.SIGTERM), accumulate_grad_batches=2)
    last = tmp_path / "last.ckpt"
    assert torch.load(last, weights_only=True)["images_seen"] == 4 * BATCH, "the step has two batches"
    found = fit(tmp_path, Line(), last, accumulate_grad_batches=2)
    assert differences(found["state_dict"], whole["state_dict"]) == {}


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    module = Interrupted(2 * BATCH, signal.SIGTERM, signal.SIGINT)
    with pytest.raises(SystemExit):
        fit(tmp_path, module)
    assert module.images_seen == 2 * BATCH
    assert list(tmp_path.glob("*.ckpt")) == []


@pytest.mark.parametrize("checked", [0, 1])
def test_nothing_is_waited_for_before_the_first_step(checked: int, tmp_path: Path) -> None:
    class Early(Line):
        def on_train_start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        def validation_step(self, batch: torch.Tensor, batch_index: int) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    module = Early()
    with pytest.raises(SystemExit):
        fit(tmp_path, module, num_sanity_val_steps=checked, limit_val_batches=checked)
    assert module.images_seen == 0
    assert list(tmp_path.glob("*.ckpt")) == []


def test_slurm_starts_the_job_again_from_the_end_of_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGUSR1 comes before the end of the job, which SLURM ends with SIGTERM once it is queued again."""
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nkill -TERM {os.getpid()}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}.items():
        monkeypatch.setenv(name, value)
    whole = fit(tmp_path / "whole", Line())
    with pytest.raises(SystemExit):
        fit(tmp_path, Interrupted(2 * BATCH, signal.SIGUSR1), plugins=[SLURMEnvironment()])
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    queued = torch.load(tmp_path / "hpc_ckpt_1.ckpt", weights_only=True)
    assert queued["images_seen"] == 3 * BATCH
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["images_seen"] == 4 * BATCH
    found = fit(tmp_path, Line(), tmp_path / "hpc_ckpt_1.ckpt")
    assert differences(found["state_dict"], whole["state_dict"]) == {}
