"""Stage `report`: what the run's models are worth, as tables, figures and one page to look at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch.distributed as dist
import yaml

from ganverse.data.sources import DataSettings, generator_path, segmenter_path, view_codes_path
from ganverse.data.world_views import NAME as CAR_WORLD
from ganverse.errors import GanverseError
from ganverse.evaluation.evaluate import evaluate_models
from ganverse.evaluation.settings import EvaluationSettings, ModelPaths
from ganverse.inverse.weights import ARCHITECTURE as INVERSE_ARCHITECTURE
from ganverse.neural_renderer.weights import ARCHITECTURE as STYLEGAN_R_ARCHITECTURE
from ganverse.pipeline import disentangle, inverse
from ganverse.pipeline.dashboard import show_report
from ganverse.pipeline.run_directory import CONFIG, StageFolder
from ganverse.pretrained import read_kind
from ganverse.training.devices import TrainerSettings, is_first_process

STAGE = "report"


@dataclass(frozen=True)
class ReportRun:
    """The evaluation stage.

    run: run directory; this stage writes below RUN/report.
    evaluation: how much is measured.
    """

    run: Path = Path("runs/car")
    data: DataSettings = field(default_factory=DataSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def report(config: ReportRun) -> bool:
    """Evaluates what the earlier stages have left in the run; always runs to its end.

    Raises:
        GanverseError: there is nothing to evaluate.
    """
    folder = StageFolder(config.run / STAGE)
    if not dist.is_initialized() and not is_first_process():
        folder.wait()
        return True
    models = run_models(config.run, config.data)
    metrics = evaluate_models(models, folder.path, suited(config.evaluation, config.data))
    if is_first_process():
        folder.begin(config, {})
        show_report(folder.path, metrics, trained_images(config.run), dashboard=config.trainer.logger == "wandb")
        folder.finish({"metrics": len(metrics), "page": "index.html"})
    folder.wait()
    return True


def trained_images(run: Path) -> int:
    """Images that the last finished training stage of a run has seen; 0 if there is none."""
    stages = [StageFolder(run / name) for name in (disentangle.STAGE, inverse.STAGE)]
    return next((int(stage.facts["images"]) for stage in stages if stage.finished), 0)


def suited(evaluation: EvaluationSettings, data: DataSettings) -> EvaluationSettings:
    """Without the car world, whose 3D truth says nothing about other categories."""
    return evaluation if data.category == "car" else replace(evaluation, world_objects=0)


def run_models(run: Path, data: DataSettings) -> ModelPaths:
    """The weights of a run, with the generator, views and masks that they belong to.

    Raises:
        GanverseError: no stage of the run has left any weights.
    """
    network = run / inverse.STAGE / inverse.WEIGHTS
    renderer = run / disentangle.STAGE / disentangle.WEIGHTS
    if not network.is_file() and not renderer.is_file():
        raise GanverseError(
            f"expected trained weights below {run}, found none; run `python train.py --run {run}` first"
        )
    if not network.is_file():
        network = recorded_teacher(run)
    return source_models(data, network if network.is_file() else None, renderer if renderer.is_file() else None)


def recorded_teacher(run: Path) -> Path:
    """The inverse network that a run's StyleGAN-R was taught by, where it was not trained in the same run."""
    path = run / disentangle.STAGE / CONFIG
    named = yaml.safe_load(path.read_text(encoding="utf-8"))["inverse"] if path.is_file() else None
    return disentangle.SHIPPED_INVERSE if named is None else Path(named)


def source_models(data: DataSettings, network: Path | None, renderer: Path | None) -> ModelPaths:
    """An inverse network and a StyleGAN-R together with the source of images they belong to."""
    shipped, is_car = ModelPaths.shipped(), data.category == "car"
    detects = data.masks == "mask-rcnn" and data.mask_folder is None
    if data.generator == CAR_WORLD:
        return ModelPaths(oracle=network)
    return ModelPaths(
        generator=generator_path(data.generator),
        view_codes=view_codes_path(data),
        inverse=network,
        stylegan_r=renderer,
        segmenter=segmenter_path(data) if not detects and (data.mask_folder is None or is_car) else None,
        mask_rcnn=data.category if detects else None,
        shards=data.shards if data.mask_folder is not None else None,
        pose_regressor=shipped.pose_regressor if is_car else None,
    )


def checkpoint_models(weights: Path, generator: str) -> ModelPaths:
    """One file of weights and the generator whose images it knows.

    Raises:
        GanverseError: the file is none of ours.
    """
    if weights.suffix != ".safetensors":
        raise GanverseError(f"expected --checkpoint to be a .safetensors file with its card, got {weights}")
    kind = read_kind(weights)
    data = DataSettings(generator=generator)
    if kind == INVERSE_ARCHITECTURE:
        return source_models(data, weights, None)
    if kind == STYLEGAN_R_ARCHITECTURE:
        return source_models(data, disentangle.SHIPPED_INVERSE, weights)
    raise GanverseError(
        f"expected weights of {INVERSE_ARCHITECTURE} or {STYLEGAN_R_ARCHITECTURE} at {weights}, got {kind}"
    )
