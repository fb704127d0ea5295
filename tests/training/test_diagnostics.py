"""What stops a training, what only warns, and what is said when the memory is full."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from tests.tasks.test_training import BATCH, SETTINGS, Line, Numbers, run
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.training.diagnostics import ALARMS, Alarm, Watch, memory_explained, sample_indices
from ganverse.training.fit import build_trainer, fit


class Exploding(Line):
    """From the third batch on the loss, or only its gradient, is not finite."""

    def __init__(self, *, gradient_only: bool, **how: bool) -> None:
        super().__init__(**how)
        self.gradient_only = gradient_only

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor | None:
        if int(self.images_seen) == 2 * BATCH:
            bad = torch.sqrt(self.slope.weight * 0.0).sum() if self.gradient_only else torch.tensor(float("nan"))
            self.slope.weight.register_hook(lambda gradient: gradient + bad.detach() * 0 + self._poison())
            batch = batch if self.gradient_only else batch * float("nan")
        return super().training_step(batch, batch_index)

    def _poison(self) -> float:
        return float("inf") if self.gradient_only else 0.0


@pytest.mark.parametrize("two_optimizers", [False, True])
@pytest.mark.parametrize("gradient_only", [False, True])
def test_what_is_not_finite_stops_before_it_does_harm(
    tmp_path: Path, gradient_only: bool, two_optimizers: bool
) -> None:
    task = Exploding(gradient_only=gradient_only, two_optimizers=two_optimizers)
    expected = "the gradient of slope.weight" if gradient_only else "the loss"
    with pytest.raises(GanverseError, match=expected):
        fit(task, Numbers(), run(tmp_path, 80), SETTINGS)
    facts = json.loads((tmp_path / "non-finite.json").read_text())
    assert facts["what"] == expected
    assert (facts["images_seen"], facts["rank"]) == (2 * BATCH, 0)
    assert facts["indices"] == list(range(2 * BATCH, 3 * BATCH))
    assert all(p.isfinite().all() for p in task.parameters())


def test_indices_that_a_batch_carries_win() -> None:
    class Batch:
        sample_index = torch.tensor([5, 7])

    assert sample_indices(Batch(), 100, 1) == [5, 7]
    assert sample_indices(torch.zeros(2, 1), 100, 1) == [102, 103]
    assert sample_indices("nothing", 100, 1) == []


def test_a_number_out_of_bounds_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(every=1, patience=8, alarms=(Alarm("loss", 1e6, 1e7, "it learns too well"),))
    task = Line()
    trainer = build_trainer(SETTINGS, [watch], [])
    trainer.limit_train_batches, trainer.fit_loop.max_epochs = 6, 1
    with caplog.at_level(logging.WARNING, "ganverse"):
        trainer.fit(task, Numbers())
    said = [record.message for record in caplog.records if record.name.startswith("ganverse")]
    assert [message.split(": ")[1] for message in said] == ["it learns too well"]
    assert all(alarm.low < alarm.high for alarm in ALARMS)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("... can't allocate memory: ...")],
)
def test_a_full_memory_says_what_to_lower(error: Exception) -> None:
    with pytest.raises(GanverseError, match=r"lower --data\.batch"), memory_explained():
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="other"), memory_explained():
        raise RuntimeError("other")
