"""Stage `inverse`: image -> mesh and texture, trained on multi-view samples through the differentiable renderer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from ganverse.data.sources import DataSettings, Source, make_data, open_source, preview_batch
from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import DEFAULT_WEIGHTS, InverseLossWeights
from ganverse.inverse.measured_start import measured_axes
from ganverse.inverse.network import DEFAULT_NETWORK, InverseNetworkConfig
from ganverse.inverse.opening import open_inverse
from ganverse.inverse.starting import start_from
from ganverse.inverse.weights import InverseCard, InverseModel, save_inverse
from ganverse.pipeline.run_directory import StageFolder
from ganverse.tasks.inverse import InverseGraphicsTask, InverseSettings
from ganverse.training.camera_history import CameraHistory
from ganverse.training.counting import images_seen
from ganverse.training.devices import TrainerSettings
from ganverse.training.fit import StageRun, fit
from ganverse.training.inverse_pictures import InversePainter
from ganverse.viewpoints.annotation_noise import AnnotationNoise

STAGE = "inverse"
WEIGHTS = "inverse.safetensors"
PICTURED_OBJECTS = 8
MEASURED_OBJECTS = 24
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraStart:
    """Where every view's camera starts, but for its azimuth (paper: elevation 0, one distance for all).

    elevation_degrees: above the object. distance: in world units (the template sphere has radius 1); the mean stays
    there, as the scale of object and distance are one freedom. learn_offset: whether pictures may be shifted.
    noise: faults put into the annotated azimuths, for experiments.
    """

    elevation_degrees: float = 0.0
    distance: float = 4.0
    learn_offset: bool = True
    noise: AnnotationNoise = field(default_factory=AnnotationNoise)


@dataclass(frozen=True)
class InverseRun:
    """The inverse-graphics stage (paper, section 3).

    run: run directory; this stage writes below RUN/inverse.
    ellipsoid: "given" starts from the axes of `network`; "measured" takes its resolution from the generator's pictures
        and its axes from the silhouettes (see `pipeline.start`), for categories that nobody has tuned it for.
    minutes: limit of training time; the schedule is shortened, as it goes, to what this machine can do in it. null
        trains all of schedule.images.
    half_life: images, of the running average of the weights that is kept in the end; 0 keeps the last weights.
    seed: of the network's start.
    start: trained weights to go on from (see `find_weights`), of the same settings or with fewer network.subdivisions:
        that is coarse to fine. Its cameras come along. null starts from an ellipsoid.
    """

    run: Path = Path("runs/car")
    data: DataSettings = field(default_factory=DataSettings)
    cameras: CameraStart = field(default_factory=CameraStart)
    network: InverseNetworkConfig = DEFAULT_NETWORK
    losses: InverseLossWeights = DEFAULT_WEIGHTS
    schedule: InverseSettings = field(default_factory=InverseSettings)
    ellipsoid: Literal["given", "measured"] = "given"
    minutes: float | None = None
    half_life: float = 1000.0
    seed: int = 0
    start: str | None = None
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def train_inverse(config: InverseRun) -> bool:
    """Runs or continues the stage; False if it was interrupted.

    Raises:
        GanverseError: something is missing or does not fit, before any training.
    """
    folder = StageFolder(config.run / STAGE)
    source = open_source(config.data)
    if config.ellipsoid == "measured":
        config = replace(config, network=measured_network(config, source))
    _check(config, source)
    data = make_data(source, config.data)
    start = None if config.start is None else open_inverse(config.start)
    learns_from = {**source.fingerprints, **({} if start is None else {"start": start.card.sha256})}
    folder.begin(config, learns_from)
    if folder.finished:
        return True
    task = make_task(config, source, start)

    def reschedule(images: int) -> None:
        task.settings = replace(task.settings, images=images)

    half_life = config.half_life or None
    run = StageRun(folder.path, STAGE, config.schedule.images, config.minutes, reschedule, half_life, learns_from)
    history = folder.path / "cameras.jsonl"
    paint = InversePainter(preview_batch(source, config.data, PICTURED_OBJECTS), history=history)
    if not fit(task, data, run, config.trainer, lambda module: paint(task), [CameraHistory(history)]):
        return False
    if task.global_rank == 0:
        card = InverseCard(source.name, source.sha256, images_seen(task), config.seed)
        written = save_inverse(task.network, task.cameras, folder.path / WEIGHTS, card)
        folder.finish({"images": images_seen(task), "weights": WEIGHTS, "sha256": written.sha256})
    folder.wait()
    return True


def measured_network(config: InverseRun, source: Source) -> InverseNetworkConfig:
    """The network's settings with the resolution of the pictures and the size of the objects; the same every time.

    Raises:
        GanverseError: the pictures show no objects, or have a size that the network cannot take.
    """
    drawn = preview_batch(source, config.data, MEASURED_OBJECTS)
    azimuth = source.codes.azimuth_degrees[drawn.view_ids.flatten().cpu()]
    axes = measured_axes(drawn.masks.flatten(0, 1).cpu(), azimuth, config.cameras.distance)
    _LOG.info("start of the mesh, measured on silhouettes: half-axes %s", axes)
    return replace(config.network, resolution=source.generator.resolution, axes=axes)


def make_task(config: InverseRun, source: Source, start: InverseModel | None) -> InverseGraphicsTask:
    """The stage at its start; start: what `config.start` names."""
    torch.manual_seed(config.seed)
    cameras = CameraTable(
        config.cameras.noise.applied(source.codes.azimuth_degrees).tolist(),
        elevation_degrees=config.cameras.elevation_degrees,
        distance=config.cameras.distance,
        learn_offset=config.cameras.learn_offset if start is None else start.cameras.learn_offset,
    )
    task = InverseGraphicsTask(cameras, config.network, config.schedule, config.losses)
    if start is not None:
        start_from(task.network, start.network)
        if len(start.cameras) == len(cameras):
            cameras.load_state_dict(start.cameras.state_dict())
    if source.steering is not None:
        cameras.load_state_dict(source.steering.reader.cameras.state_dict())
        cameras.requires_grad_(False)
    return task


def _check(config: InverseRun, source: Source) -> None:
    if config.network.resolution != source.generator.resolution:
        raise GanverseError(
            f"expected network.resolution to be that of the generator's pictures, {source.generator.resolution}, got "
            f"{config.network.resolution}; set --network.resolution {source.generator.resolution}"
        )
