"""The shared Trainer: budgets in images, exact resumption, atomic checkpoints, metrics, averages."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganverse.errors import GanverseError
from ganverse.io import image_grid
from ganverse.tasks import stopping
from ganverse.training.checkpoints import last_checkpoint
from ganverse.training.devices import TrainerSettings, choose_devices
from ganverse.training.ema import keep_factor
from ganverse.training.fit import StageRun, fit
from ganverse.training.metrics_log import read_metrics
from ganverse.training.progress import clock

BATCH = 4
SETTINGS = TrainerSettings(accelerator="cpu", precision="32-true", log_every=1, progress="lines", threads=1)


class Line(pl.LightningModule):
    """Fits y = 2 x; counts images as the stages do. interrupt_at: sends itself SIGINT there."""

    images_seen: Tensor

    def __init__(self, *, two_optimizers: bool = False, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.slope = nn.Linear(1, 1)
        nn.init.zeros_(self.slope.weight)
        nn.init.zeros_(self.slope.bias)
        self.automatic_optimization = not two_optimizers
        self.interrupt_at = interrupt_at
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        if self.automatic_optimization:
            return [torch.optim.Adam(self.parameters(), 0.1)]
        return [torch.optim.Adam([p], 0.1) for p in self.parameters()]

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor | None:
        loss = (self.slope(batch) - 2 * batch).square().mean()
        self.images_seen += len(batch) * self.trainer.world_size
        self.log("loss", loss.detach(), prog_bar=True, batch_size=1)
        if int(self.images_seen) == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        if self.automatic_optimization:
            return loss
        optimizers = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        return None


class Numbers(pl.LightningDataModule):
    """Batch i is a pure function of i and starts at the task's images seen."""

    def train_dataloader(self) -> Iterator[Tensor]:
        return _Batches(int(self.trainer.lightning_module.images_seen))


class _Batches:
    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[Tensor]:
        i = self.first
        while True:
            yield torch.randn(BATCH, 1, generator=torch.Generator().manual_seed(i))
            i += BATCH


def run(folder: Path, images: int, **changes: object) -> StageRun:
    return StageRun(folder, "line", images, **changes)


def paint(task: pl.LightningModule) -> dict[str, Tensor]:
    assert not task.training
    return {"slope": task.slope.weight.detach().clamp(0, 1).expand(3, 8, 8)}


@pytest.mark.parametrize("two_optimizers", [False, True])
@pytest.mark.parametrize("half_life", [None, 20.0])
def test_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, two_optimizers: bool, half_life: float | None
) -> None:
    straight, first, second = (Line(two_optimizers=two_optimizers) for _ in range(3))
    assert fit(straight, Numbers(), run(tmp_path / "a", 80, half_life=half_life), SETTINGS)
    assert fit(first, Numbers(), run(tmp_path / "b", 36, half_life=half_life), SETTINGS)
    assert fit(second, Numbers(), run(tmp_path / "b", 80, half_life=half_life), SETTINGS)
    assert int(second.images_seen) == int(straight.images_seen) == 80
    assert torch.equal(second.slope.weight, straight.slope.weight)
    lines = [[line["images"] for line in read_metrics(tmp_path / name / "metrics.jsonl")] for name in "ab"]
    assert lines[0] == lines[1] == list(range(4, 84, 4))


def test_a_finished_budget_is_not_exceeded(tmp_path: Path) -> None:
    fit(Line(), Numbers(), run(tmp_path, 8), SETTINGS)
    again = Line()
    assert fit(again, Numbers(), run(tmp_path, 8), SETTINGS)
    assert int(again.images_seen) == 8


class SlowStart(Line):
    """Has a clock of its own, on which the first 16 steps take twice as long as the others, 1/64 s."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor | None:
        self.now += 1 / 32 if int(self.images_seen) < 16 * BATCH else 1 / 64
        return super().training_step(batch, batch_index)


def test_a_schedule_is_shortened_to_what_fits_into_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, told = SlowStart(), []
    monkeypatch.setattr(stopping, "time", task)
    limited = run(tmp_path, 10**9, minutes=3 / 60, reschedule=told.append)
    assert fit(task, Numbers(), limited, SETTINGS)
    assert told[0] == 10**9
    seen, fits = int(task.images_seen), BATCH * (16 + int((3 - 16 / 32) * 64))
    assert fits - 8 * BATCH <= seen <= fits
    assert told[1] < 0.7 * fits, "the pace so far"
    assert sorted(told[1:]) == told[1:], "rises while the steps become faster"
    assert told[-1] - seen < BATCH, "the end of the schedule is reached"
    stored = torch.load(last_checkpoint(tmp_path / "checkpoints"), weights_only=True)["callbacks"]["Budget"]
    assert stored["planned"] == told[-1]
    assert stored["seconds"] == pytest.approx(3, abs=0.1)
    again = SlowStart()
    fit(again, Numbers(), limited, SETTINGS)
    assert int(again.images_seen) == seen
    assert told[-1] == stored["planned"]


def test_enough_time_changes_nothing(tmp_path: Path) -> None:
    told = []
    assert fit(Line(), Numbers(), run(tmp_path, 80, minutes=60.0, reschedule=told.append), SETTINGS)
    assert set(told) == {80}


def test_ctrl_c_saves_the_batch_at_hand(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert not fit(Line(interrupt_at=12), Numbers(), run(tmp_path, 80), SETTINGS)
    assert signal.getsignal(signal.SIGINT) is before
    stored = torch.load(last_checkpoint(tmp_path / "checkpoints"), weights_only=True)
    assert int(stored["state_dict"]["images_seen"]) == 12
    again = Line()
    assert fit(again, Numbers(), run(tmp_path, 80), SETTINGS)
    assert int(again.images_seen) == 80


def test_lines_of_a_killed_run_are_written_once(tmp_path: Path) -> None:
    fit(Line(), Numbers(), run(tmp_path, 8), SETTINGS)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"images": 12, "loss": 1.0}) + "\n" + '{"images": 16, "lo')
    fit(Line(), Numbers(), run(tmp_path, 16), SETTINGS)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["images"] for line in lines] == [4, 8, 12, 16]
    assert all({"images", "step", "seconds", "loss", "images_per_second"} == set(line) for line in lines)
    table = (tmp_path / "metrics.csv").read_text().splitlines()
    assert table[0].split(",")[:3] == ["images", "step", "seconds"]
    assert [row.split(",")[0] for row in table[1:]] == ["4", "8", "12", "16"]


def test_checkpoints_come_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[str] = []
    original = pl.Trainer.save_checkpoint
    monkeypatch.setattr(
        pl.Trainer, "save_checkpoint", lambda self, path: saved.append(str(path)) or original(self, path)
    )
    settings = TrainerSettings(accelerator="cpu", precision="32-true", checkpoint_minutes=1e-9, progress="none")
    fit(Line(), Numbers(), run(tmp_path, 20), settings)
    assert len(saved) == 5
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_pictures_and_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(Line(), Numbers(), run(tmp_path, 8), SETTINGS, paint)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["curves-000000008.png", "slope-000000000.png", "slope-000000008.png"]
    shown = capfd.readouterr().err
    assert "line: 8 of 8 images (100.0 %)" in shown
    assert "loss" in shown


def test_half_life() -> None:
    assert keep_factor(1000, 10**6, 1000.0) == pytest.approx(0.5)
    assert keep_factor(32, 32, 10_000.0) < 1e-5
    assert keep_factor(0, 0, 1000.0) == 0.0


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = choose_devices(TrainerSettings(accelerator="cpu", devices=2, precision="auto"))
    assert (chosen.accelerator, chosen.count) == ("cpu", 2)
    assert "2 processes" in chosen.description
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(GanverseError, match="expected a CUDA GPU"):
        choose_devices(TrainerSettings(accelerator="gpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Toy GPU")
    chosen = choose_devices(TrainerSettings())
    assert (chosen.accelerator, chosen.count, chosen.precision) == ("gpu", 2, "bf16-mixed")
    with pytest.raises(GanverseError, match="at most 2 devices"):
        choose_devices(TrainerSettings(devices=3))


def test_torchrun_says_how_many_processes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert choose_devices(TrainerSettings(accelerator="cpu")).count == 3
    assert choose_devices(TrainerSettings(accelerator="cpu", devices=2)).count == 2


@pytest.mark.parametrize("change", [{"devices": 0}, {"threads": 0}, {"checkpoint_minutes": 0.0}, {"log_every": -1}])
def test_settings_out_of_range(change: dict[str, float]) -> None:
    with pytest.raises(GanverseError, match=next(iter(change))):
        TrainerSettings(**change)


def test_grid_fills_up_with_white() -> None:
    table = image_grid(torch.zeros(3, 3, 2, 2), columns=2, zoom=2)
    assert table.shape == (3, 8, 8)
    assert table[:, 4:, 4:].eq(1).all()
    assert table[:, :4].eq(0).all()


def test_clock() -> None:
    assert [clock(s) for s in (5.0, 75.0, 3675.0)] == ["0:05", "1:15", "1:01:15"]
