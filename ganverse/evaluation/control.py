"""StyleGAN-R on held-out objects of its GAN: `control_protocol` and the Frechet distance, as scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ganverse.data.batch import MultiViewBatch
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control_metrics import quality_ratio, swap_texture_distances
from ganverse.evaluation.control_protocol import ControlReport, Instruments, measure_controls, paint_moved
from ganverse.evaluation.metrics import Score
from ganverse.evaluation.models import Source
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.inverse.weights import InverseModel
from ganverse.masks.masker import Masker
from ganverse.neural_renderer.controls import render_in_chunks
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes, background_mask, remove_object
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.view_codes import mix_styles, view_styles
from ganverse.worlds.generator import CarWorldGenerator, world_samples

_PER_DRAW = 64


@dataclass(frozen=True)
class Studio:
    """StyleGAN-R with everything it is measured through.

    alignment: of the inverse network's world, in whose azimuths the renderer is asked.
    """

    renderer: StyleGANR
    source: Source
    model: InverseModel
    pose: PoseRegressor
    masker: Masker
    alignment: Alignment

    @property
    def instruments(self) -> Instruments:
        """Readings of synthesized images; cameras in the inverse network's world."""

        def camera(images: Float[Tensor, "batch 3 height width"]) -> PoseReading:
            reading = self.pose(images)
            return replace(reading, azimuth=reading.azimuth - self.alignment.yaw)

        return Instruments(
            camera=camera,
            texture=lambda images: self.model.network(images).texture,
            mask=lambda images: self.masker(images).foreground,
            paint=lambda images: self.pose(images).color,
            traits=self._traits,
        )

    def _traits(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        reading = self.pose(images)
        return {"height": reading.height[:, None], "color": reading.color}


@torch.no_grad()
def scenes_of(model: InverseModel, batch: MultiViewBatch) -> Scenes:
    """Shape, texture and background of every object's first view, under that view's camera."""
    seen = model.network(batch.images[:, 0])
    background = remove_object(batch.images[:, 0], batch.masks[:, 0])
    return Scenes(model.cameras(batch.view_ids[:, 0]), seen.vertices, seen.texture, background)


@torch.no_grad()
def control(studio: Studio, settings: EvaluationSettings) -> dict[str, Score]:
    """The numbers of StyleGAN-R by name, see `ControlReport`.

    azimuth_error_deg is the median over scenes and azimuths, swap_*_ratio mean distance over mean distance,
    everything else a mean over scenes. moved_SWAP_THING: how far a swap moves a thing. quality_ratio: Frechet distance
    to car-world pictures, StyleGAN-R's over that of the original GAN's pictures of the same objects.
    """
    batch = next(_draw(studio, settings, [torch.arange(settings.control_objects)]))
    found = measure_controls(
        studio.renderer,
        scenes_of(studio.model, batch),
        background_mask(batch.masks[:, 0]),
        batch.images[:, 0],
        studio.model.cameras.all(),
        studio.instruments,
        sweep_scenes=settings.control_objects,
        step_degrees=360 / settings.control_azimuths,
    )
    scores = {**control_scores(found), **gan_scores(studio, batch)}
    if settings.quality_images >= 2:
        scores["quality_ratio"] = Score(_quality(studio, settings), count=settings.quality_images)
    return scores


@torch.no_grad()
def gan_scores(studio: Studio, batch: MultiViewBatch) -> dict[str, Score]:
    """The texture's numbers for the GAN itself, as if it had been asked for the swaps: object i + 1 in the view of i.

    Its view codes paint along and f reads two views of one object differently, so that even this is no perfect swap:
    what StyleGAN-R, which learns from these pictures, can be expected to reach.
    """
    source, instruments, images = studio.source, studio.instruments, batch.images[:, 0]
    index = torch.arange(1, len(batch) + 1, device=images.device) % len(batch)
    views = view_styles(source.generator, source.codes, device=images.device)[batch.view_ids[:, 0]]
    swapped = source.generator.synthesize(mix_styles(batch.styles[index, 0], views, source.codes.view_dims))
    asked = instruments.texture(images)
    texture = swap_texture_distances(instruments.texture(swapped), asked[index], asked)
    paint = paint_moved(swapped, images, index, instruments)
    return {
        "swap_texture_gan": Score.of_ratio(texture.to_source, texture.to_other),
        "swap_paint_gan": Score.of_ratio(paint.to_source, paint.to_other),
    }


def control_scores(found: ControlReport) -> dict[str, Score]:
    """A report's values with their intervals."""
    ratios = {
        "swap_shape_ratio": found.shape,
        "swap_texture_ratio": found.texture,
        "swap_paint_ratio": found.paint,
        "swap_background_ratio": found.background,
        "swap_background_own_ratio": found.background_own,
    }
    return {
        "azimuth_error_deg": Score.of(found.camera.azimuth_degrees, "median"),
        "azimuth_flips": Score.of((found.camera.azimuth_degrees > 90).float()),
        "elevation_rank": Score.of(found.elevation.rank),
        "elevation_slope": Score.of(found.elevation.slope),
        "scale_rank": Score.of(found.scale.rank),
        "scale_slope": Score.of(found.scale.slope),
        "swap_shape_iou": Score.of(found.shape_iou),
        "swap_shape_iou_other": Score.of(found.shape_iou_other),
        **{name: Score.of_ratio(swap.to_source, swap.to_other) for name, swap in ratios.items()},
        **{f"moved_{swap}_{thing}": Score.of(moved) for (swap, thing), moved in found.effects.items()},
        **{f"identity_{name}": Score(share, count=len(found.shape_iou)) for name, share in found.identity.items()},
        "faithful_iou": Score.of(found.faithful_iou),
    }


class RegressorFeatures(nn.Module):
    """What the pose regressor knows about a picture before its last layer: the space of Frechet distances."""

    def __init__(self, pose: PoseRegressor) -> None:
        super().__init__()
        last = pose.head[-1]
        assert isinstance(last, nn.Linear)
        self.trunk, self.hidden, self.num_features = pose.features, pose.head[:-1], last.in_features

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Pictures in [0, 1] of any size."""
        if images.shape[2:] != (64, 64):
            images = nn.functional.interpolate(images, (64, 64), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.hidden(self.trunk((images - 0.5) * 4))
        return features


def _quality(studio: Studio, settings: EvaluationSettings) -> float:
    chunks = torch.arange(settings.quality_images).split(_PER_DRAW)
    batches = list(_draw(studio, settings, chunks))
    after = [render_in_chunks(studio.renderer, scenes_of(studio.model, batch)) for batch in batches]
    world = CarWorldGenerator(studio.source.generator.resolution)
    real = [world_samples(settings.seed, chunk, world)[1].to(settings.device) for chunk in chunks]
    return quality_ratio(real, [batch.images[:, 0] for batch in batches], after, RegressorFeatures(studio.pose))


def _draw(
    studio: Studio, settings: EvaluationSettings, chunks: Sequence[Int[Tensor, " chunk"]]
) -> Iterator[MultiViewBatch]:
    sampler = studio.source.sampler(settings.seed, 1)
    for chunk in chunks:
        yield sampler.draw(chunk).batch.to(settings.device)
