"""What `train` and `evaluate` do once they are asked: parse, say what is about to happen, run, say what came out."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from ganverse.data.sources import DataSettings
from ganverse.errors import GanverseError
from ganverse.evaluation.cards import write_cards
from ganverse.evaluation.evaluate import SCORES, evaluate_models
from ganverse.evaluation.settings import EvaluationSettings, ModelPaths
from ganverse.pipeline.configuration import Section, build_parser, packaged_config, parse, section_of
from ganverse.pipeline.dashboard import show_report
from ganverse.pipeline.disentangle import DisentangleRun
from ganverse.pipeline.generate import GenerateRun
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.replay import Replay, read_stop, replay, show
from ganverse.pipeline.report import ReportRun, checkpoint_models, run_models, suited, trained_images
from ganverse.pipeline.run_directory import CONFIG
from ganverse.pipeline.stages import PipelineRun, Step, pipeline_steps, step
from ganverse.pipeline.summary import announce, conclude
from ganverse.pipeline.together import together
from ganverse.tasks.image_gan_training import ImageGANRun
from ganverse.training.devices import is_first_process

ALL = "all"
SHARED = frozenset({"run", "data", "trainer"})
STAGES: dict[str, tuple[Section, ...]] = {
    ALL: (
        Section("", PipelineRun, frozenset({"generate", "inverse", "disentangle", "report"})),
        Section("generate", GenerateRun, SHARED),
        Section("inverse", InverseRun, SHARED),
        Section("disentangle", DisentangleRun, SHARED),
        Section("report", ReportRun, SHARED),
    ),
    "gan": (Section("", ImageGANRun),),
    "generate": (Section("", GenerateRun),),
    "inverse": (Section("", InverseRun),),
    "disentangle": (Section("", DisentangleRun),),
    "report": (Section("", ReportRun),),
}
"""Names on the command line and the settings behind them."""


def train_command(arguments: Sequence[str], prog: str) -> bool:
    """`train.py [STAGE] ...`; False if somebody interrupted it.

    Raises:
        GanverseError: an unknown stage, bad settings or missing files.
    """
    quieten()
    if arguments and arguments[0].split("=")[0] == "--replay":
        replay_command(arguments, prog)
        return True
    named = bool(arguments) and not arguments[0].startswith("-")
    stage = arguments[0] if named else ALL
    if stage not in STAGES:
        raise GanverseError(f"expected a stage ({', '.join(STAGES)}), got {stage!r}; see {prog} --help")
    config = stage_settings(stage, arguments[1:] if named else arguments, prog)
    return run_steps(pipeline_steps(config) if isinstance(config, PipelineRun) else [step(config)])


def replay_command(arguments: Sequence[str], prog: str) -> Replay:
    """`train.py --replay RUN/STAGE/non-finite.json`: prints what is not finite in the batch that stopped a training.

    Raises:
        GanverseError: there is no such file, or not in the folder of a stage.
    """
    given = " ".join(arguments).replace("=", " ", 1).split(" ")
    if len(given) != 2:
        raise GanverseError(f"expected {prog} --replay FILE and nothing else, got {' '.join(arguments)}")
    path = Path(given[1])
    stop, stage = read_stop(path), path.resolve().parent.name
    if stage not in STAGES or not (path.parent / CONFIG).is_file():
        raise GanverseError(f"expected {path} in the folder of a stage, with its {CONFIG} beside it; leave it there")
    result = replay(stage_settings(stage, ["--config", str(path.parent / CONFIG)], prog), stop)
    show(result, Console())
    return result


def stage_settings(stage: str, arguments: Sequence[str], prog: str = "train.py") -> Any:
    """The dataclass of a stage out of the command line; without --config from the stage's own YAML file."""
    sections = STAGES[stage]
    settings = sections[0].settings
    parser = build_parser(f"{prog} {stage}", (settings.__doc__ or "").split("\n")[0], sections)
    default = packaged_config("demo.yaml" if stage == ALL else f"car/{stage}.yaml")
    return section_of(parse(parser, with_shorthands(arguments, stage), default), sections[0])


def with_shorthands(arguments: Sequence[str], stage: str) -> list[str]:
    """`--logger` for `--trainer.logger`; `--num-objects` and `--views-per-object` for what is generated."""
    samples = "--generate.samples" if stage == ALL else "--samples"
    long = {"--logger": "--trainer.logger"}
    if stage in (ALL, "generate"):
        long |= {"--num-objects": samples, "--views-per-object": "--data.sampling.views"}
    words = [argument.partition("=") for argument in arguments]
    return [long.get(name, name) + equals + value for name, equals, value in words]


def run_steps(steps: Sequence[Step]) -> bool:
    """Every stage that is not finished yet; False if somebody interrupted one."""
    announce(steps)
    seconds = []
    for one in steps:
        start = time.monotonic()
        if not one.run():
            return False
        seconds.append(time.monotonic() - start)
    conclude(steps, seconds)
    return True


@dataclass(frozen=True)
class EvaluateCall:
    """What to evaluate: nothing given, the weights inside the package.

    run: run directory of train.py.
    checkpoint: one .safetensors file of an inverse network or a StyleGAN-R.
    data: the generator whose images the checkpoint knows: car, car-world, or a .safetensors file.
    output: folder for metrics.json, figures and index.html; null takes RUN/report, or runs/shipped/report.
    logger: "wandb" sends numbers, figures and meshes to Weights & Biases too.
    cards: write what was measured into the JSON cards beside the weights.
    evaluation: how much is measured.
    """

    run: Path | None = None
    checkpoint: Path | None = None
    data: str = "car"
    output: Path | None = None
    logger: Literal["files", "wandb"] = "files"
    cards: bool = False
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


def evaluate_command(arguments: Sequence[str], prog: str) -> dict[str, float]:
    """`evaluate.py ...`; the metrics.

    Raises:
        GanverseError: bad settings or missing files.
    """
    quieten()
    section = Section("", EvaluateCall)
    parser = build_parser(prog, "Tables, figures and a page about trained weights.", [section])
    call: EvaluateCall = section_of(parse(parser, arguments, None), section)
    if call.run is not None and call.checkpoint is not None:
        raise GanverseError("expected --run or --checkpoint, got both; give one of them")
    models, output = _chosen(call)
    output.mkdir(parents=True, exist_ok=True)  # what cannot be written should fail before hours of measuring
    evaluation = call.evaluation if call.run is None else suited(call.evaluation, recorded_data(call.run))
    with together():
        metrics = evaluate_models(models, output, evaluation)
    if is_first_process():
        show_report(output, metrics, trained_images(call.run) if call.run else 0, dashboard=call.logger == "wandb")
    if call.cards and is_first_process():
        write_cards(models, output / SCORES)
    Console(stderr=True).print(f"page: {output / 'index.html'}", highlight=False, soft_wrap=True)
    return metrics


def _chosen(call: EvaluateCall) -> tuple[ModelPaths, Path]:
    if call.run is not None:
        return run_models(call.run, recorded_data(call.run)), call.output or call.run / "report"
    if call.checkpoint is not None:
        return checkpoint_models(call.checkpoint, call.data), call.output or call.checkpoint.parent / "report"
    return ModelPaths.shipped(), call.output or Path("runs/shipped/report")


def recorded_data(run: Path) -> DataSettings:
    """The data that a run was trained on, from the configuration that its stages have left.

    Raises:
        GanverseError: this is no run directory.
    """
    for stage in ("inverse", "disentangle"):
        if (run / stage / CONFIG).is_file():
            config: InverseRun | DisentangleRun = stage_settings(stage, ["--config", str(run / stage / CONFIG)])
            return config.data
    raise GanverseError(f"expected a run directory with inverse/{CONFIG} at {run}, found none; check --run")


def quieten() -> None:
    """Our own log lines are shown; other packages' advice that does not apply here is not."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("ganverse").setLevel(logging.INFO)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning_utilities"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 on torch >= 2.9, and its advice about loader workers, which our streams do not need
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    warnings.filterwarnings("ignore", message="The '.*_dataloader' does not have many workers")
    warnings.filterwarnings("ignore", message="GPU available but not used")
