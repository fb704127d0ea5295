"""`train.py --replay runs/NAME/STAGE/non-finite.json`: the batch at which a training stopped, made again and examined.

On one process, with the samples of the one that stopped. Where a step looks at samples of other processes as well
(minibatch deviation and swaps, if the samples per process are no multiple of four), these are missing.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganverse.data.sources import make_data, open_source
from ganverse.data.world_images import CachedImages
from ganverse.errors import GanverseError
from ganverse.pipeline import disentangle, inverse
from ganverse.pipeline.disentangle import DisentangleRun
from ganverse.pipeline.inverse import InverseRun
from ganverse.pipeline.stages import StageConfig
from ganverse.tasks.image_gan import ImageGANTask
from ganverse.tasks.image_gan_training import ImageGANRun
from ganverse.tasks.replay import TermFinding, bad_weights, examine
from ganverse.training.devices import choose_devices

Terms = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True)
class Stop:
    """What `sentinels.NonFinite` left: what happened, and the task's weights of before the step."""

    what: str
    images_seen: int
    world: int
    indices: tuple[int, ...]
    schedule: dict[str, int]
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Replay:
    """What came of the same batch. error: what the step itself said, if it did not get to its terms."""

    stop: Stop
    findings: tuple[TermFinding, ...]
    bad_weights: tuple[str, ...]
    error: str | None = None


def read_stop(path: Path) -> Stop:
    """The file and the weights beside it.

    Raises:
        GanverseError: they are missing or something else.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        weights = torch.load(path.with_suffix(".pt"), map_location="cpu", weights_only=True)
        indices = tuple(int(index) for index in facts["indices"])
        return Stop(
            facts["what"], facts["images_seen"], facts["world"], indices, dict(facts["schedule"]), dict(weights)
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise GanverseError(
            f"expected the non-finite.json of a training that stopped, with non-finite.pt beside it, at {path}, got "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'nothing'}; give that file"
        ) from error


def replay(config: StageConfig, stop: Stop) -> Replay:
    """The same samples through the same weights at the same point of the schedule.

    config: of the stage that stopped.
    """
    devices = choose_devices(config.trainer)
    task, terms = _opened(config, stop)
    task.load_state_dict(stop.weights)
    task.get_buffer("images_seen").fill_(stop.images_seen)
    task.to("cuda" if devices.accelerator == "gpu" else "cpu")
    task.train()
    task.on_fit_start()
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(devices.precision)
    with nullcontext() if half is None else torch.autocast(task.device.type, half):
        try:
            found = terms()
        except GanverseError as error:
            return Replay(stop, (), bad_weights(task), str(error))
    return Replay(stop, tuple(examine(task, found)), bad_weights(task))


def _opened(config: StageConfig, stop: Stop) -> tuple[pl.LightningModule, Terms]:
    """The task, and what gives its terms."""
    indices = torch.tensor(stop.indices)
    if isinstance(config, ImageGANRun):
        # One process with the images of all is at the same point of the schedule.
        settings = replace(config.settings, batch=config.settings.batch * stop.world)
        gan = ImageGANTask(config.architecture, settings)
        images = CachedImages(config.cache, settings.batch, settings.seed, content=config.world)
        return gan, lambda: gan.loss_terms(images.make(stop.indices).to(gan.device), stop.indices[0])
    if not isinstance(config, (InverseRun, DisentangleRun)):
        raise GanverseError("expected a stage that trains (gan, inverse, disentangle); the others have no losses")
    source = open_source(config.data)
    data = make_data(source, config.data)
    if isinstance(config, InverseRun):
        task: Any = inverse.make_task(config, source, None)  # the checkpoint holds everything
    else:
        task = disentangle.make_task(config, source, disentangle.load_inverse(disentangle.teacher_path(config)))
    task.settings = replace(task.settings, **stop.schedule)
    return task, lambda: task.loss_terms(data.make(indices.to(task.device)))


def show(result: Replay, console: Console) -> None:
    """One table, and what is not finite in words."""
    stop = result.stop
    table = Table("term", "value", "gradient", title=f"{len(stop.indices)} samples at {stop.images_seen:,} images")
    for finding in result.findings:
        bad = finding.bad_gradients
        words = f"not finite in {len(bad)} parameters, first {bad[0]}" if bad else "finite"
        table.add_row(finding.term, f"{finding.value:.6g}", words)
    console.print(table)
    console.print(f"it had stopped for {stop.what}", highlight=False)
    if result.error is not None:
        console.print(f"the step says: {result.error}", highlight=False)
    if result.bad_weights:
        count, first = len(result.bad_weights), result.bad_weights[0]
        console.print(f"{count} weights were not finite before the step, first {first}", highlight=False)
    guilty = [finding.term for finding in result.findings if not finding.sound]
    console.print(f"not finite: {', '.join(guilty) or 'no term on this machine'}", highlight=False)
