"""`python evaluate.py` and `ganverse evaluate`: evaluates the shipped weights, a run, or one file of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ganverse.arguments import parse_settings
from ganverse.errors import GanverseError
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.evaluate import evaluate_models
from ganverse.evaluation.models import ModelPaths, models_of_checkpoint, models_of_run
from ganverse.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class EvaluateCall:
    """What to evaluate. Default: the shipped weights."""

    run: Path | None = None
    """Run directory of train.py."""
    checkpoint: Path | None = None
    """A .safetensors file of an inverse network or a StyleGAN-R, instead of a run."""
    data: str = "car"
    """Generator that `checkpoint` was trained on: car, car-world, or a .safetensors file."""
    output: Path | None = None
    """Output folder for metrics.json, figures and index.html. Default: RUN/report, or runs/shipped/report."""
    logger: Literal["files", "wandb"] = "files"
    """`wandb` also logs numbers, figures and meshes to Weights & Biases."""

    def __post_init__(self) -> None:
        if self.run is not None and self.checkpoint is not None:
            raise GanverseError("expected --run or --checkpoint, got both; give one of them")

    def models(self) -> tuple[ModelPaths, Path]:
        """Weights to evaluate, and the report's folder."""
        if self.run is not None:
            return models_of_run(self.run), self.output or self.run / "report"
        if self.checkpoint is not None:
            folder = self.output or self.checkpoint.parent / "report"
            return models_of_checkpoint(self.checkpoint, self.data), folder
        return ModelPaths.shipped(), self.output or Path("runs/shipped/report")


def evaluate_command(arguments: Sequence[str], prog: str) -> dict[str, float]:
    """Evaluates according to the command line; returns the contents of metrics.json.

    Raises:
        GanverseError: bad settings or missing files.
    """
    call: EvaluateCall
    settings: EvaluationSettings
    description = "Evaluate trained weights: metrics, figures and a report page."
    call, settings = parse_settings(prog, description, arguments, EvaluateCall, EvaluationSettings)
    models, output = call.models()
    output.mkdir(parents=True, exist_ok=True)  # fail before hours of evaluation
    run = start_wandb(output) if call.logger == "wandb" else None
    metrics = evaluate_models(models, output, settings)
    if run is not None:
        log_to_wandb(run, output, metrics)
    return metrics


def start_wandb(folder: Path) -> Any:
    """A Weights & Biases run with its files in `folder`; GanverseError if it cannot start."""
    import wandb  # only on request

    from ganverse.training.media import wandb_explained

    with wandb_explained():
        return wandb.init(project="ganverse", name=f"{folder.parent.name}-{folder.name}", dir=folder)


def log_to_wandb(run: Any, folder: Path, metrics: Mapping[str, float]) -> None:
    """Logs results as values and as a table, and files in figures/ and meshes/, to Weights & Biases."""
    import wandb  # only on request

    entries = [CATALOG[key] for key in metrics]
    rows = [[one.key, metrics[one.key], one.target, one.better, one.meaning] for one in entries]
    media: dict[str, Any] = {
        "numbers": wandb.Table(columns=["number", "value", "target", "better", "meaning"], data=rows),
        **{path.stem: wandb.Image(str(path)) for path in sorted(folder.glob("figures/*.png"))},
        **{path.stem: wandb.Object3D(str(path)) for path in sorted(folder.glob("meshes/*.glb"))},
    }
    with run:
        run.log({**metrics, **{f"media/{name}": medium for name, medium in media.items()}})
