"""The running average against a plain loop; before, after and across checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from ganverse.errors import GanverseError
from ganverse.training.ema import EMA, keep_factor
from tests.tasks.toys import trainer
from tests.training.lines import BATCH, Line, Numbers

HALF_LIFE = 20.0


class Track(pl.Callback):
    """The weight after every step, and what validation sees."""

    def __init__(self) -> None:
        self.weights: list[float] = []
        self.validated: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Line, *_: object) -> None:
        self.weights.append(pl_module.slope.weight.item())

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Line, *_: object) -> None:
        self.validated.append(pl_module.slope.weight.item())


def expected(weights: list[float], batch: int = BATCH) -> float:
    average = 0.0
    for step, weight in enumerate(weights):
        keep = keep_factor(batch, (step + 1) * batch, HALF_LIFE)
        average = keep * average + (1 - keep) * weight
    return average


def test_half_life() -> None:
    assert keep_factor(1000, 10**6, 1000.0) == pytest.approx(0.5)
    assert keep_factor(32, 32, 10_000.0) < 1e-5, "the start is soon forgotten"
    assert keep_factor(0, 0, 1000.0) == 0.0


@pytest.mark.parametrize("two_optimizers", [False, True])
def test_the_average_is_that_of_a_plain_loop(two_optimizers: bool, tmp_path: Path) -> None:
    track, module = Track(), Line(two_optimizers=two_optimizers)
    steps = 20 * (1 + two_optimizers)
    trainer(tmp_path, max_steps=steps, limit_val_batches=0, callbacks=[track, EMA(HALF_LIFE)]).fit(module, Numbers())
    assert len(track.weights) == 20
    assert module.slope.weight.item() == pytest.approx(expected(track.weights), rel=1e-5)
    assert module.slope.weight.item() != pytest.approx(track.weights[-1], rel=1e-3)


def test_accumulated_batches_count_together(tmp_path: Path) -> None:
    track, module = Track(), Line()
    settings = {"accumulate_grad_batches": 2, "callbacks": [track, EMA(HALF_LIFE)]}
    trainer(tmp_path, max_steps=10, limit_val_batches=0, **settings).fit(module, Numbers())
    assert len(track.weights) == 20
    assert module.slope.weight.item() == pytest.approx(expected(track.weights[1::2], 2 * BATCH), rel=1e-5)


def test_validation_sees_the_average(tmp_path: Path) -> None:
    track, module = Track(), Line()
    callbacks = [track, EMA(HALF_LIFE)]
    trainer(tmp_path, max_steps=10, val_check_interval=5, check_val_every_n_epoch=None, callbacks=callbacks).fit(
        module, Numbers()
    )
    assert track.validated == pytest.approx([expected(track.weights[:5]), expected(track.weights)], rel=1e-5)


@pytest.mark.parametrize("two_optimizers", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_training_goes_on_from_any_checkpoint(two_optimizers: bool, ended: bool, tmp_path: Path) -> None:
    """Also from one that was saved after training had ended, when the module is the average already."""

    def fit(steps: int, resume: Path | None = None, *more: pl.Callback) -> tuple[Line, pl.Trainer]:
        module, steps = Line(two_optimizers=two_optimizers), steps * (1 + two_optimizers)
        made = trainer(tmp_path, max_steps=steps, limit_val_batches=0, callbacks=[EMA(HALF_LIFE), *more])
        made.fit(module, Numbers(), ckpt_path=resume)
        return module, made

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.lightning_module.images_seen}.ckpt")

    straight, _ = fit(20)
    _, first = fit(9, None, *([] if ended else [Save()]))
    if ended:
        first.save_checkpoint(tmp_path / "36.ckpt")
    second, _ = fit(20, tmp_path / "36.ckpt")
    assert second.images_seen == straight.images_seen == 80
    assert torch.equal(second.slope.weight, straight.slope.weight)
    stored = torch.load(tmp_path / "36.ckpt", weights_only=True)
    assert stored["state_dict"]["slope.weight"] != stored["current_model_state"]["slope.weight"]


def test_only_modules_that_count_can_be_averaged(tmp_path: Path) -> None:
    class Uncounted(Line):
        def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor | None:
            self.images_seen = 0
            loss = super().training_step(batch, batch_index)
            self.images_seen = None
            return loss

    with pytest.raises(GanverseError, match="expected Uncounted to count `images_seen`"):
        trainer(tmp_path, max_steps=2, limit_val_batches=0, callbacks=[EMA(HALF_LIFE)]).fit(Uncounted(), Numbers())
    with pytest.raises(GanverseError, match="half_life to be at least"):
        EMA(0.0)
