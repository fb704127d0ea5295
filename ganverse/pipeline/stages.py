"""Which stages there are, and how several of them share one run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ganverse.data.sources import DataSettings
from ganverse.errors import GanverseError
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.pipeline import disentangle, gan, generate, inverse, report
from ganverse.pipeline.disentangle import DisentangleRun
from ganverse.pipeline.generate import GenerateRun
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.report import ReportRun
from ganverse.pipeline.run_directory import StageFolder
from ganverse.tasks.image_gan_training import ImageGANRun
from ganverse.tasks.inverse import InverseSettings
from ganverse.training.devices import TrainerSettings

StageConfig = ImageGANRun | GenerateRun | InverseRun | DisentangleRun | ReportRun


@dataclass(frozen=True)
class PipelineRun:
    """All stages into one run directory, each with its own settings below its name.

    run: run directory. data: of all stages. trainer: of all stages.
    rounds: how often the whole is trained (paper: "iteratively"). From the second on, RUN/round-N holds a round: the
        StyleGAN-R of the round before paints the pictures that the inverse network goes on with, cameras known exactly;
        that network teaches the next StyleGAN-R, which goes on as well; and the round is evaluated.
    round_share: length of every later round's stages as a share of the first one's.
    """

    run: Path = Path("runs/demo")
    data: DataSettings = field(default_factory=DataSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    generate: GenerateRun = field(default_factory=GenerateRun)
    inverse: InverseRun = field(default_factory=InverseRun)
    disentangle: DisentangleRun = field(default_factory=DisentangleRun)
    report: ReportRun = field(default_factory=ReportRun)
    rounds: int = 1
    round_share: float = 0.5

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.round_share <= 0:
            raise GanverseError(
                f"expected rounds of 1 or more and a round_share above 0, got {self.rounds} and {self.round_share}; "
                "correct them"
            )


@dataclass(frozen=True)
class Step:
    """One stage, ready to run. `run` returns False if it was interrupted.

    budget: how long it is, in words. images: to see, and minutes: that it may take at most; None where there is no such
    number. round: the round it belongs to.
    """

    name: str
    config: StageConfig
    run: Callable[[], bool]
    budget: str
    images: int | None = None
    minutes: float | None = None
    round: int = 1

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.name if self.round == 1 else f"{self.name}, round {self.round}"

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
    """The stages in order, with the run directory, data and trainer of the whole; round after round."""
    run, data, trainer = config.run, config.data, config.trainer
    first = [
        step(replace(config.generate, run=run, data=data, trainer=trainer)),
        step(replace(config.inverse, run=run, data=data, trainer=trainer)),
        step(replace(config.disentangle, run=run, data=data, trainer=trainer)),
        step(replace(config.report, run=run, data=data, trainer=trainer)),
    ]
    return first + [one for number in range(2, config.rounds + 1) for one in round_steps(config, number)]


def round_folder(run: Path, number: int) -> Path:
    """Where round `number` lies; the first is the run itself."""
    return run if number == 1 else run / f"round-{number}"


def round_steps(config: PipelineRun, number: int) -> list[Step]:
    """The stages of a later round (the second is number 2), which go on from those of the round before."""
    run, before, trainer = round_folder(config.run, number), round_folder(config.run, number - 1), config.trainer
    taught = config.disentangle.inverse if number == 2 else None
    network = taught or before / inverse.STAGE / inverse.WEIGHTS
    painter = before / disentangle.STAGE / disentangle.WEIGHTS
    painted = replace(config.data, renderer=painter, reader=network, shards=None)
    length = _Length(config.round_share)
    trained = replace(
        config.inverse,
        run=run,
        data=painted,
        trainer=trainer,
        start=str(network),
        schedule=length.of_inverse(config.inverse.schedule),
        minutes=length.of_minutes(config.inverse.minutes),
    )
    tuned = replace(
        config.disentangle,
        run=run,
        data=config.data,
        trainer=trainer,
        inverse=None,
        start=painter,
        schedule=length.of_disentangle(config.disentangle.schedule),
        minutes=length.of_minutes(config.disentangle.minutes),
    )
    reported = replace(config.report, run=run, data=config.data, trainer=trainer)
    return [replace(step(one), round=number) for one in (trained, tuned, reported)]


@dataclass(frozen=True)
class _Length:
    """Shortens schedules to a share."""

    share: float

    def of_inverse(self, schedule: InverseSettings) -> InverseSettings:
        return replace(
            schedule,
            images=round(self.share * schedule.images),
            warm_up_images=round(self.share * schedule.warm_up_images),
        )

    def of_disentangle(self, schedule: DisentangleSettings) -> DisentangleSettings:
        return replace(
            schedule,
            warm_up_images=round(self.share * schedule.warm_up_images),
            fine_tune_images=round(self.share * schedule.fine_tune_images),
        )

    def of_minutes(self, minutes: float | None) -> float | None:
        return None if minutes is None else self.share * minutes
