"""How every stage is trained: one Trainer, built from one frozen dataclass, on whatever the machine has."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger

from ganverse.training.checkpoints import LastCheckpoint, check_identity, last_checkpoint
from ganverse.training.cluster import launched, slurm_environment
from ganverse.training.counting import images_seen
from ganverse.training.devices import TrainerSettings, choose_devices
from ganverse.training.diagnostics import NonFinite, Watch, memory_explained
from ganverse.training.ema import EMA
from ganverse.training.media import Painter, Pictures
from ganverse.training.metrics_log import MetricsLog
from ganverse.training.progress import ImagesProgress
from ganverse.training.stopping import Budget, Interruption
from ganverse.training.throughput import Throughput
from ganverse.training.weights_and_biases import Dashboard

_IRRELEVANT_ADVICE = (
    # our loaders begin at the task's `images_seen`, so ending inside an epoch is exact
    "You're resuming from a checkpoint that ended before the epoch",
    # the streams offer held-out samples to whoever wants them; the tasks do not
    "You passed in a `val_dataloader` but have no `validation_step`",
    # frozen teachers are meant to be in evaluation mode
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


@dataclass(frozen=True)
class StageRun:
    """One stage's training: where it writes and when it ends.

    folder: runs/<name>/<stage>. title: for the progress bar. images: budget over all processes. minutes: second
    limit, summed over resumptions, or None. reschedule: told how many images fit into the minutes, see `Budget`.
    half_life: of the running average of the weights in images; None for no average (or one that the task keeps itself).
    teachers: sha256 of the frozen weights it learns from, by name; checkpoints hold them and refuse others.
    idle_parameters: some parameters get no gradient in some steps, which several processes must know beforehand.
    """

    folder: Path
    title: str
    images: int
    minutes: float | None = None
    reschedule: Callable[[int], None] | None = None
    half_life: float | None = None
    teachers: Mapping[str, str] = field(default_factory=dict)
    idle_parameters: bool = False


def fit(
    task: pl.LightningModule,
    data: pl.LightningDataModule,
    run: StageRun,
    settings: TrainerSettings,
    paint: Painter | None = None,
    extra: Sequence[pl.Callback] = (),
) -> bool:
    """Trains, from `checkpoints/last.ckpt` if there is one, until the budget is used up.

    paint: makes the pictures of samples/. extra: callbacks of this stage alone. Returns whether the budget was used up;
    False if Ctrl-C or a signal came first (everything is saved by then, and the SLURM job requeued if that was asked
    for). Afterwards the task holds its averaged weights, if `run.half_life` asked for them.
    """
    checkpoints = run.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    budget, interruption = Budget(run.images, run.minutes, run.reschedule), Interruption()
    callbacks: list[pl.Callback] = [EMA(run.half_life)] if run.half_life else []
    callbacks += [ImagesProgress(run.title, lambda: budget.planned, settings.progress), interruption, budget]
    callbacks += [NonFinite(run.folder), Watch(settings.log_every), Throughput(), *extra]
    if paint is not None:
        callbacks.append(Pictures(run.folder / "samples", paint, settings.picture_minutes))
    loggers = stage_loggers(run.folder, settings, lambda: images_seen(task))
    identity = {"stage": type(task).__name__, **run.teachers}
    resume = last_checkpoint(checkpoints)
    if resume is not None:
        check_identity(resume, identity)
    saving = LastCheckpoint(checkpoints, settings.checkpoint_minutes, identity)
    trainer = build_trainer(settings, [*callbacks, saving], loggers, idle_parameters=run.idle_parameters)
    with without_advice(), memory_explained():
        trainer.fit(task, data, ckpt_path=resume, weights_only=True)
    interruption.settle()
    return budget.used_up and not interruption.requested


def stage_loggers(folder: Path, settings: TrainerSettings, images: Callable[[], int]) -> list[Logger]:
    """Where a stage's numbers and pictures go: metrics.jsonl in its folder always, W&B if the settings say so."""
    metrics = MetricsLog(folder / "metrics.jsonl", images)
    return [metrics, Dashboard(folder, images)] if settings.logger == "wandb" else [metrics]


@contextmanager
def without_advice() -> Iterator[None]:
    """Keeps Lightning's advice that does not apply here from the user."""
    with warnings.catch_warnings():
        for advice in _IRRELEVANT_ADVICE:
            warnings.filterwarnings("ignore", message=advice)
        yield


def build_trainer(
    settings: TrainerSettings, callbacks: list[pl.Callback], loggers: list[Logger], *, idle_parameters: bool = False
) -> pl.Trainer:
    """A Trainer without limits of its own: the callbacks decide when to save and when to stop."""
    devices = choose_devices(settings)
    several = devices.count * devices.nodes > 1 or launched() is not None
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    return pl.Trainer(
        accelerator=devices.accelerator,
        devices=devices.count,
        num_nodes=devices.nodes,
        precision=devices.precision,
        strategy=_strategy(idle_parameters) if several else "auto",
        max_epochs=-1,
        plugins=slurm_environment(),
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=settings.log_every,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,  # the streams give every process its own samples
    )


def _strategy(idle_parameters: bool) -> str:
    return "ddp_find_unused_parameters_true" if idle_parameters else "ddp"
