from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from benchmarks import resume_kills
from benchmarks.resume_kills import SURVEY, digests, long_enough, main, survive


def test_killed_and_equal_in_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form of the campaign: inside generation, and inside a training whose cameras are surveyed."""
    (generated,) = main(["generate", "--kills", "1"])
    assert "generate: 1 kills survived" in capsys.readouterr().out
    trained = survive("inverse", 1, long_enough("inverse", 1, tmp_path), tmp_path)
    for outcome in (generated, trained):
        assert (outcome.kills, outcome.starts, outcome.different) == (1, 2, ())
        assert outcome.files > 0
    for run in ("whole", "pieces"):
        state = torch.load(tmp_path / run / "inverse" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        assert int(state["survey._extra_state"][0]) == len(SURVEY["at"])


def test_a_difference_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_sloppily(pipeline: Path, run: Path) -> object:
        (run / "inverse").mkdir(parents=True, exist_ok=True)
        (run / "inverse" / "a.safetensors").write_bytes(str(time.monotonic_ns()).encode())
        return FinishedProcess()

    class FinishedProcess:
        exitcode, pid = 0, 1

        def join(self, timeout: float | None = None) -> None: ...

        def is_alive(self) -> bool:
            return False

    monkeypatch.setattr(resume_kills, "long_enough", lambda stage, kills, folder: folder)
    monkeypatch.setattr(resume_kills, "_started", train_sloppily)
    (outcome,) = main(["inverse", "--kills", "1"])
    assert outcome.different == ("inverse/a.safetensors",)
    assert (outcome.kills, outcome.starts) == (0, 1)
    assert digests(tmp_path) == {}
