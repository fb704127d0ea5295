"""The inverse stage as `train.py` runs it, interrupted while its cameras are surveyed: it goes on as if undisturbed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from ganverse.cli import INTERRUPTED, train
from ganverse.tasks.inverse import InverseGraphicsTask
from tests import pipeline_toys as toys

SURVEY = {"at": [0.0, 0.7], "after": 0, "pictures_per_view": 1, "certainty": 0.0}
FLAGS = ["--schedule.images=32", *(f"--schedule.survey.{name}={value}" for name, value in SURVEY.items())]
"""Eight steps of 4 pictures: a survey of the first three, decided before the fourth, and another of the last two."""


@pytest.mark.parametrize("interrupted_at", [8, 12], ids=["while it collects", "before it decides"])
def test_a_survey_goes_on_after_an_interruption(
    interrupted_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, weights = toys.save_gan(tmp_path), []
    for run in (tmp_path / "whole", tmp_path / "pieces"):
        command = ["inverse", *toys.stage_flags("inverse", run, generator), *FLAGS]
        if run.name == "pieces":
            with monkeypatch.context() as patch:
                stop_after(interrupted_at, patch)
                assert train(command) == INTERRUPTED
            collected = checkpoint(run)
            assert (int(collected["survey.finished"]), float(collected["survey.seen"].sum())) == (0, interrupted_at)
        assert train(command) == 0
        assert int(checkpoint(run)["survey.finished"]) == 1
        weights.append((run / "inverse" / "inverse.safetensors").read_bytes())
    assert weights[0] == weights[1]


def stop_after(images: int, patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the end of the step in which so many images have been seen."""
    genuine = InverseGraphicsTask.training_step

    def step(task: InverseGraphicsTask, batch: object, index: int) -> torch.Tensor:
        loss = genuine(task, batch, index)
        if int(task.images_seen) == images:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    patch.setattr(InverseGraphicsTask, "training_step", step)


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    path = run / "inverse" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]
