"""Which stages there are, and how several of them share one run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ganverse.pipeline import disentangle, gan, generate, inverse, report
from ganverse.pipeline.disentangle import DisentangleRun
from ganverse.pipeline.generate import GenerateRun
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.report import ReportRun
from ganverse.pipeline.run_directory import StageFolder
from ganverse.pipeline.sources import DataSettings
from ganverse.tasks.devices import TrainerSettings
from ganverse.tasks.image_gan_training import ImageGANRun

StageConfig = ImageGANRun | GenerateRun | InverseRun | DisentangleRun | ReportRun


@dataclass(frozen=True)
class PipelineRun:
    """All stages into one run directory, each with its own settings below its name.

    run: run directory. data: of all stages. trainer: of all stages.
    """

    run: Path = Path("runs/demo")
    data: DataSettings = field(default_factory=DataSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    generate: GenerateRun = field(default_factory=GenerateRun)
    inverse: InverseRun = field(default_factory=InverseRun)
    disentangle: DisentangleRun = field(default_factory=DisentangleRun)
    report: ReportRun = field(default_factory=ReportRun)


@dataclass(frozen=True)
class Step:
    """One stage, ready to run. `run` returns False if it was interrupted.

    budget: how long it is, in words. images: to see, and minutes: that it may take at most; None where there is no such
    number.
    """

    name: str
    config: StageConfig
    run: Callable[[], bool]
    budget: str
    images: int | None = None
    minutes: float | None = None

    @property
    def folder(self) -> StageFolder:
        """Where it writes."""
        return StageFolder(self.config.run / self.name)


def step(config: StageConfig) -> Step:
    """The stage that a configuration belongs to."""
    match config:
        case ImageGANRun():
            return _training(gan.STAGE, config, lambda: gan.train_gan(config), config.images, config.minutes)
        case GenerateRun():
            return Step(generate.STAGE, config, lambda: generate.generate(config), f"{config.samples:,} objects")
        case InverseRun():
            images = config.schedule.images
            return _training(inverse.STAGE, config, lambda: inverse.train_inverse(config), images, config.minutes)
        case DisentangleRun():
            images = config.schedule.images
            return _training(
                disentangle.STAGE, config, lambda: disentangle.train_disentangle(config), images, config.minutes
            )
        case ReportRun():
            budget = f"{config.evaluation.held_out_objects:,} objects"
            return Step(report.STAGE, config, lambda: report.report(config), budget)


def _training(name: str, config: StageConfig, run: Callable[[], bool], images: int, minutes: float | None) -> Step:
    budget = f"{images:,} images" + ("" if minutes is None else f", at most {minutes:g} min")
    return Step(name, config, run, budget, images, minutes)


def pipeline_steps(config: PipelineRun) -> list[Step]:
    """The stages in order, with the run directory, data and trainer of the whole."""
    run, data, trainer = config.run, config.data, config.trainer
    return [
        step(replace(config.generate, run=run, data=data, trainer=trainer)),
        step(replace(config.inverse, run=run, data=data, trainer=trainer)),
        step(replace(config.disentangle, run=run, data=data, trainer=trainer)),
        step(replace(config.report, run=run, data=data, trainer=trainer)),
    ]
