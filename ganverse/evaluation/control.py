"""StyleGAN-R on held-out objects: how well it follows camera, shape, texture and background, and image quality.

Swaps are evaluated at equal cameras. Silhouettes are compared with StyleGAN-R's own image of the shape's source, since
the predicted shape is only as good as f. Textures and backgrounds are compared with the requested inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics.functional.regression import spearman_corrcoef
from torchmetrics.image.fid import FrechetInceptionDistance

from ganverse.batch import MultiViewBatch
from ganverse.data.sources import Source
from ganverse.errors import GanverseError
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.held_out import HeldOutSamples, held_out_samples
from ganverse.evaluation.identity import explained_share
from ganverse.evaluation.metrics import Score, mask_iou
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.losses import color_loss
from ganverse.inverse.weights import InverseModel
from ganverse.masks.masker import Masker
from ganverse.neural_renderer.controls import azimuth_sweep, ladders, render_in_chunks, under_each
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes, background_mask
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.view_codes import mix_styles, view_styles
from ganverse.worlds.generator import CarWorldGenerator, world_samples

Images = Float[Tensor, "batch 3 height width"]
LADDER_AZIMUTHS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
LADDER_STEPS = 5
_PER_BATCH = 64


@dataclass(frozen=True)
class Probes:
    """Measurements on framed images.

    pose: a pose regressor; azimuths in the inverse network's world. texture: f, UV textures. mask: a segmenter.
    """

    pose: Callable[[Images], PoseReading]
    texture: Callable[[Images], Float[Tensor, "batch 3 tex tex"]]
    mask: Callable[[Images], Float[Tensor, "batch 1 height width"]]


@dataclass(frozen=True)
class Studio:
    """StyleGAN-R with everything needed to measure it.

    alignment: from the inverse network's world to the true one, in which the pose regressor predicts azimuths.
    """

    renderer: StyleGANR
    source: Source
    model: InverseModel
    pose: PoseRegressor
    masker: Masker
    alignment: Alignment

    @property
    def device(self) -> torch.device:
        """Device of all networks."""
        return self.model.network.start.device

    @property
    def probes(self) -> Probes:
        """Measurements in the inverse network's world."""

        def pose(images: Float[Tensor, "batch 3 height width"]) -> PoseReading:
            predicted = self.pose(images)
            return replace(predicted, azimuth=predicted.azimuth - self.alignment.yaw)

        return Probes(
            pose=pose,
            texture=lambda images: self.model.network(images).texture,
            mask=lambda images: self.masker(images).foreground,
        )

    def scenes(self, batch: MultiViewBatch) -> Scenes:
        """Scenes from every object's first view, under that view's learned camera."""
        scenes = self.renderer.read(self.model.network, batch.images[:, 0], batch.masks[:, 0])
        return scenes.seen_from(self.model.cameras(batch.view_ids[:, 0]))


@torch.no_grad()
def control_scores(studio: Studio, settings: EvaluationSettings) -> dict[str, Score]:
    """All scores of StyleGAN-R by name, on `control_objects` held-out objects of the GAN.

    quality_ratio: Frechet distance to car-world images, of StyleGAN-R relative to the GAN's images of the same objects.
    """
    samples = held_out_samples(studio.source, settings.seed, settings.control_objects, views=1)
    batch = samples.draw(torch.arange(samples.count)).to(studio.device)
    scenes, table, probes = studio.scenes(batch), studio.model.cameras.all(), studio.probes
    visible, images = background_mask(batch.masks[:, 0]), batch.images[:, 0]
    scores = {
        **rotation_scores(studio.renderer, scenes, table, probes, settings.control_azimuths),
        **ladder_scores(studio.renderer, scenes, table, probes),
        **swap_scores(studio.renderer, scenes, visible, images, probes),
        **gan_scores(studio, batch),
    }
    if settings.quality_images:
        scores["quality_ratio"] = Score(_quality(studio, samples, settings), count=settings.quality_images)
    return scores


@torch.no_grad()
def rotation_scores(
    renderer: StyleGANR, scenes: Scenes, table: Cameras, probes: Probes, azimuths: int
) -> dict[str, Score]:
    """Scores over full rotations. table: cameras of the view codes, whose typical elevation and distance are used.

    azimuth_error_deg: measured against requested azimuth, median. identity_*: share of the variance over scenes and
    azimuths explained by the scene.
    """
    sweep = azimuth_sweep(scenes, table, [360 * step / azimuths for step in range(azimuths)])
    pose = probes.pose(render_in_chunks(renderer, sweep, framed=True))
    shape = (len(scenes), azimuths)
    error = angular_difference(pose.azimuth, sweep.cameras.azimuth).abs().rad2deg().view(shape)
    shares = {
        "color": explained_share(pose.color.view(*shape, 3)),
        "height": explained_share(pose.height.view(*shape, 1)),
    }
    return {
        "azimuth_error_deg": Score.of(error, "median"),
        **{f"identity_{name}": Score(share, count=len(scenes)) for name, share in shares.items()},
    }


@torch.no_grad()
def ladder_scores(renderer: StyleGANR, scenes: Scenes, table: Cameras, probes: Probes) -> dict[str, Score]:
    """Rising elevations (measured by the pose regressor) and growing distances (by the mask's area).

    *_rank: Spearman correlation of requested and measured values per scene and azimuth; 1 if every step has the right
    direction. *_slope: measured change per requested change; 1 for full effect. Sizes and distances are logarithms.
    """
    rising, receding = (under_each(scenes, cameras) for cameras in ladders(table, LADDER_AZIMUTHS, LADDER_STEPS))
    elevation = probes.pose(render_in_chunks(renderer, rising, framed=True)).elevation
    area = probes.mask(render_in_chunks(renderer, receding, framed=True)).mean(dim=(1, 2, 3))
    climbed = {
        "elevation": (rising.cameras.elevation, elevation),
        "scale": (-receding.cameras.distance.log(), area.clamp_min(1e-6).log() / 2),
    }
    scores = {}
    for name, values in climbed.items():
        rank, slope = rank_and_slope(*(x.view(-1, LADDER_STEPS) for x in values))
        scores[f"{name}_rank"] = Score.of(rank.view(len(scenes), -1))
        scores[f"{name}_slope"] = Score.of(slope.view(len(scenes), -1))
    return scores


def rank_and_slope(
    requested: Float[Tensor, "rows steps"], measured: Float[Tensor, "rows steps"]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Spearman correlation (ties share ranks) and slope of the least-squares line, per row."""
    rank = torch.stack([spearman_corrcoef(m, r) for m, r in zip(measured, requested, strict=True)])
    centered = requested - requested.mean(dim=1, keepdim=True)
    return rank, (centered * measured).sum(dim=1) / centered.square().sum(dim=1)


@dataclass(frozen=True)
class Factors:
    """Content of framed images: silhouettes, UV textures, and the images themselves for their backgrounds."""

    images: Float[Tensor, "batch 3 height width"]
    masks: Float[Tensor, "batch 1 height width"]
    textures: Float[Tensor, "batch 3 tex tex"]

    @classmethod
    def of(cls, renderer: StyleGANR, scenes: Scenes, probes: Probes) -> Factors:
        """Renders scenes and measures the images."""
        images = render_in_chunks(renderer, scenes, framed=True)
        return cls(images, probes.mask(images), probes.texture(images))


def swaps(scenes: Scenes, index: Int[Tensor, " batch"]) -> dict[str, Scenes]:
    """Scenes that take one or more parts from the scenes `index`, by part; "own" takes nothing."""
    return {
        "own": scenes,
        "shape": scenes.swapped(shape=index),
        "texture": scenes.swapped(texture=index),
        "background": scenes.swapped(background=index),
        "everything": scenes.swapped(shape=index, texture=index, background=index),
    }


def next_index(count: int, device: torch.device) -> Int[Tensor, " scenes"]:
    """Next scene of every scene, which provides its parts; the first one for the last."""
    return torch.arange(1, count + 1, device=device) % count


@torch.no_grad()
def swap_scores(
    renderer: StyleGANR,
    scenes: Scenes,
    visible: Float[Tensor, "batch 1 height width"],
    own_images: Float[Tensor, "batch 3 height width"],
    probes: Probes,
) -> dict[str, Score]:
    """Scores of swapping every part of scene i with that of scene i + 1, at the camera of scene i.

    visible: 1 where the scenes' backgrounds are known (`background_mask`). own_images: the frozen generator's images of
    the scenes, from the same cameras.

    swap_*_ratio: mean distance to the requested value over mean distance to the scene's own value: 0 is perfect, 1 is
    half way, larger is closer to the original. Shape: 1 - IoU of silhouettes. Texture: L1 on the UV chart. Paint: L1 of
    the main color, with the generator's images. Background: L1 outside the objects, with the requested backgrounds.
    swap_shape_iou: silhouette after a shape swap with that of the shape's source.

    Raises:
        GanverseError: fewer than two scenes.
    """
    if len(scenes) < 2:
        raise GanverseError(f"expected at least two scenes for swaps, got {len(scenes)}; evaluate more")
    index = next_index(len(scenes), scenes.vertices.device)
    shown = {name: Factors.of(renderer, swapped, probes) for name, swapped in swaps(scenes, index).items()}
    own, source, shape, background = (shown[name] for name in ("own", "everything", "shape", "background"))
    to_source, to_own = (mask_iou(shape.masks, other.masks) for other in (source, own))
    known = visible * visible[index] * background_mask(background.masks)
    return {
        "swap_shape_iou": Score.of(to_source),
        "swap_shape_ratio": Score.of_ratio(1 - to_source, 1 - to_own),
        "swap_texture_ratio": swap_ratio(shown["texture"].textures, scenes.texture, index),
        "swap_paint_ratio": swap_ratio(
            probes.pose(shown["texture"].images).color, probes.pose(own_images).color, index
        ),
        "swap_background_ratio": Score.of_ratio(
            color_loss(background.images, scenes.background[index], known),
            color_loss(background.images, scenes.background, known),
        ),
    }


def swap_ratio(
    result: Float[Tensor, "batch *values"], own: Float[Tensor, "batch *values"], index: Int[Tensor, " batch"]
) -> Score:
    """Mean L1 distance of the result to the value of scene `index`, relative to that to the scene's own value."""
    return Score.of_ratio(l1(result, own[index]), l1(result, own))


def l1(first: Float[Tensor, "batch *values"], second: Float[Tensor, "batch *values"]) -> Float[Tensor, " batch"]:
    """Mean absolute difference, per row."""
    return (first - second).abs().mean(dim=tuple(range(1, first.dim())))


@torch.no_grad()
def gan_scores(studio: Studio, batch: MultiViewBatch) -> dict[str, Score]:
    """Texture and paint ratios of the GAN itself, which shows object i + 1 in the view of object i as the swap.

    The GAN's view codes also change colors, and f predicts different textures for two views of one object, so this swap
    is not perfect either. It is what StyleGAN-R, trained on these images, can be expected to reach.
    """
    source, probes, images = studio.source, studio.probes, batch.images[:, 0]
    index = next_index(len(batch), images.device)
    views = view_styles(source.generator, source.codes, device=images.device)[batch.view_ids[:, 0]]
    swapped = source.generator.synthesize(mix_styles(batch.styles[index, 0], views, source.codes.view_dims))
    return {
        "swap_texture_gan": swap_ratio(probes.texture(swapped), probes.texture(images), index),
        "swap_paint_gan": swap_ratio(probes.pose(swapped).color, probes.pose(images).color, index),
    }


class RegressorFeatures(nn.Module):
    """`PoseRegressor.hidden`: feature space for Frechet distances."""

    num_features = 160

    def __init__(self, pose: PoseRegressor) -> None:
        super().__init__()
        self.pose = pose

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Images in [0, 1] of any size."""
        return self.pose.hidden(images)


@torch.no_grad()
def frechet_distance(
    real: Sequence[Float[Tensor, "_ 3 height width"]],
    fake: Sequence[Float[Tensor, "_ 3 height width"]],
    features: nn.Module,
) -> float:
    """Frechet distance of two image sets (batches in [0, 1], at least two images each) in the space of `features`."""
    size = (3, *real[0].shape[2:])
    metric = FrechetInceptionDistance(features, normalize=True, input_img_size=size, sync_on_compute=False)
    metric = metric.to(real[0].device)
    for batches, is_real in ((real, True), (fake, False)):
        for batch in batches:
            metric.update(batch, real=is_real)
    return float(metric.compute())


def _quality(studio: Studio, samples: HeldOutSamples, settings: EvaluationSettings) -> float:
    """Frechet distance to car-world images after fine-tuning, relative to the original generator; 1 = preserved."""
    chunks = torch.arange(settings.quality_images).split(_PER_BATCH)
    batches = [samples.draw(chunk).to(studio.device) for chunk in chunks]
    world, features = CarWorldGenerator(studio.source.generator.resolution), RegressorFeatures(studio.pose)
    cars = [world_samples(settings.seed, chunk, world)[1].to(studio.device) for chunk in chunks]
    real = [studio.renderer.framing.blacken(images) for images in cars]
    after = [render_in_chunks(studio.renderer, studio.scenes(batch), framed=True) for batch in batches]
    before = [batch.images[:, 0] for batch in batches]
    return frechet_distance(real, after, features) / max(frechet_distance(real, before, features), 1e-9)
