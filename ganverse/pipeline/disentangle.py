"""Stage `disentangle`: the GAN becomes StyleGAN-R, steered by camera, shape, texture and background."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ganverse.data.sources import (
    DataSettings,
    Source,
    make_data,
    open_segmenter,
    open_source,
    preview_batch,
)
from ganverse.errors import GanverseError
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel, load_inverse
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.mapping import DEFAULT_MAPPING, MappingSettings
from ganverse.neural_renderer.objective import DEFAULT_WEIGHTS, DisentangleWeights
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.neural_renderer.weights import StyleGANRCard, described_generator, load_stylegan_r, save_stylegan_r
from ganverse.pipeline.inverse import STAGE as INVERSE
from ganverse.pipeline.inverse import WEIGHTS as INVERSE_WEIGHTS
from ganverse.pipeline.run_directory import StageFolder
from ganverse.pretrained import SHIPPED
from ganverse.tasks.disentangle import DisentangleTask
from ganverse.training.counting import images_seen
from ganverse.training.devices import TrainerSettings
from ganverse.training.disentangle_pictures import DisentanglePainter
from ganverse.training.fit import StageRun, fit

STAGE = "disentangle"
WEIGHTS = "stylegan-r.safetensors"
PICTURED_OBJECTS = 6
SHIPPED_INVERSE = SHIPPED / "inverse-car.safetensors"


@dataclass(frozen=True)
class DisentangleRun:
    """The StyleGAN-R stage (paper, section 4).

    run: run directory; this stage writes below RUN/disentangle.
    inverse: weights of the teacher; null takes RUN/inverse/inverse.safetensors, and where there is none the car network
        inside the package.
    minutes: limit of training time; the schedule is shortened, as it goes, to what this machine can do in it. null
        trains all of it.
    half_life: images, of the running average of the weights that is kept in the end; 0 keeps the last weights.
    start: weights of a StyleGAN-R of the same generator and sizes to go on from; null starts afresh.
    seed: of the mapping networks' start.
    """

    run: Path = Path("runs/car")
    inverse: Path | None = None
    data: DataSettings = field(default_factory=DataSettings)
    mapping: MappingSettings = DEFAULT_MAPPING
    losses: DisentangleWeights = DEFAULT_WEIGHTS
    schedule: DisentangleSettings = field(default_factory=DisentangleSettings)
    minutes: float | None = None
    half_life: float = 500.0
    start: Path | None = None
    seed: int = 0
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def train_disentangle(config: DisentangleRun) -> bool:
    """Runs or continues the stage; False if it was interrupted.

    Raises:
        GanverseError: something is missing or does not fit, before any training.
    """
    folder = StageFolder(config.run / STAGE)
    source = open_source(config.data)
    path = teacher_path(config)
    teacher = load_inverse(path)
    _check(source, teacher, path)
    data = make_data(source, config.data)
    start = None if config.start is None else load_stylegan_r(config.start)
    learns_from = {**source.fingerprints, "inverse": teacher.card.sha256}
    learns_from |= {} if start is None else {"start": start[1].sha256}
    folder.begin(config, learns_from)
    if folder.finished:
        return True
    task = make_task(config, source, teacher)
    if start is not None:
        _begin_at(task, start[0], config)

    def reschedule(images: int) -> None:
        shorten(task, config.schedule, images)

    half_life = config.half_life or None
    # The generator gets no gradient while the mapping networks warm up.
    run = StageRun(folder.path, STAGE, config.schedule.images, config.minutes, reschedule, half_life, learns_from, True)
    paint = DisentanglePainter(preview_batch(source, config.data, PICTURED_OBJECTS))
    if not fit(task, data, run, config.trainer, lambda module: paint(task)):
        return False
    if config.schedule.keep_spread:
        task.restore_spread()
    if task.global_rank == 0:
        written = save_stylegan_r(task.renderer, folder.path / WEIGHTS, _card(config, source, teacher, task))
        folder.finish({"images": images_seen(task), "weights": WEIGHTS, "sha256": written.sha256})
    folder.wait()
    return True


def teacher_path(config: DisentangleRun) -> Path:
    """The inverse network that teaches."""
    own = config.run / INVERSE / INVERSE_WEIGHTS
    return config.inverse or (own if own.is_file() else SHIPPED_INVERSE)


def shorten(task: DisentangleTask, schedule: DisentangleSettings, images: int) -> None:
    """Fewer images in all, with the schedule's share of warm-up for as long as that lasts."""
    warm_up = task.settings.warm_up_images
    if task.warming_up:
        warm_up = round(images * schedule.warm_up_images / max(schedule.images, 1))
    task.settings = replace(task.settings, warm_up_images=warm_up, fine_tune_images=max(images - warm_up, 0))


def make_task(config: DisentangleRun, source: Source, teacher: InverseModel) -> DisentangleTask:
    """The stage at its start."""
    torch.manual_seed(config.seed)
    perceptual = PerceptualDistance() if config.losses.distill_perceptual else None
    networks = FrozenNetworks(teacher.network, teacher.cameras, open_segmenter(config.data), perceptual)
    return DisentangleTask(source.generator, source.codes, networks, config.schedule, config.losses, config.mapping)


def _begin_at(task: DisentangleTask, start: StyleGANR, config: DisentangleRun) -> None:
    """Takes over weights and statistics."""
    try:
        task.renderer.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise GanverseError(
            f"expected {config.start} to have the parts asked for here, got others ({str(error).splitlines()[-1]}); "
            "set --mapping as there, or leave --start away"
        ) from error
    task.calibrated.fill_(True)


def _card(config: DisentangleRun, source: Source, teacher: InverseModel, task: DisentangleTask) -> StyleGANRCard:
    generator, content_directions = described_generator(source.generator)
    return StyleGANRCard(
        generator=generator,
        content_directions=content_directions,
        view_dims=source.codes.view_dims,
        vertices=teacher.network.template.vertices.shape[1],
        texture_size=teacher.network.config.texture_size,
        mapping=config.mapping,
        generator_sha256=source.sha256,
        inverse_sha256=teacher.card.sha256,
        images_seen=images_seen(task),
        seed=config.seed,
    )


def _check(source: Source, teacher: InverseModel, path: Path) -> None:
    described_generator(source.generator)
    if source.steering is not None:
        raise GanverseError(
            "expected a GAN's own pictures to learn from, got those of data.renderer; leave --data.renderer away"
        )
    card = teacher.card
    if card.generator_sha256 != source.sha256 or card.views != len(source.codes):
        raise GanverseError(
            f"expected {path} to be trained on {source.name} ({source.sha256[:12]}...) with {len(source.codes)} views, "
            f"got one of {card.generator} ({card.generator_sha256[:12] or 'no hash'}) with {card.views}; run stage "
            "inverse on this generator first"
        )
