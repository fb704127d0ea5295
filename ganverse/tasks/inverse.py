"""Stage 2: trains the inverse graphics network and the cameras on multi-view batches (paper, section 3)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.distributed import all_gather
from ganverse.geometry.regularity import Adjacency
from ganverse.inverse.camera_survey import CameraSurvey, SurveyPlan, hypothesis_losses
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import DEFAULT_WEIGHTS, InverseLossWeights, chroma_error, silhouette_iou
from ganverse.inverse.network import DEFAULT_NETWORK, InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.objective import PerceptualPlan, SilhouetteSchedule, StepResult, inverse_step
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.random_streams import step_seed
from ganverse.training.vitals import camera_vitals, mask_vitals, mesh_vitals, texture_vitals

TERMS = ("color", "silhouette", "perceptual", "flatten", "laplacian", "move", "camera")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InverseSettings:
    """Schedule and rates. Numbers of images count pictures shown to the network, over all processes.

    images: of the whole training; all schedules end there. learning_rate: AdamW's, after a linear warm-up of
    warm_up_images along a cosine to 0. mean_rate_factor: for what all objects share (mean shape, texel biases).
    camera_rate: Adam's, from the first step, held for `camera_hold` of the images (elevations start at 0 and must
    arrive first: decaying earlier left them 2.4 degrees off), then a cosine to 0. offset_start: share of the
    images before the pictures' offsets are learned: from the start, they would make up for a wrong azimuth (one of 24
    cameras then stayed in its mirror image for good). survey: when cameras are compared with other hypotheses.
    clip: norm of the network's gradient.
    perceptual_start: share of the images trained without the perceptual loss (paper: the first 3 K of 200 K steps).
    perceptual_renders: per step and process. perceptual_stages: see `PerceptualDistance`.
    """

    images: int = 64_000
    learning_rate: float = 1e-3
    warm_up_images: int = 2_000
    weight_decay: float = 1e-2
    mean_rate_factor: float = 3.0
    camera_rate: float = 3e-3
    camera_hold: float = 0.45
    offset_start: float = 0.35
    survey: SurveyPlan = field(default_factory=SurveyPlan)
    clip: float = 5.0
    silhouette: SilhouetteSchedule = field(default_factory=SilhouetteSchedule)
    perceptual_start: float = 0.1
    perceptual_renders: int = 8
    perceptual_stages: int = 3

    def network_factor(self, images_seen: int) -> float:
        """Share of the learning rate after so many images."""
        warm = min((images_seen + 1) / max(self.warm_up_images, 1), 1.0)
        return warm * _cosine(images_seen / self.images)

    def camera_factor(self, images_seen: int) -> float:
        """Share of the camera rate after so many images."""
        progress = images_seen / self.images
        return _cosine((progress - self.camera_hold) / max(1 - self.camera_hold, 1e-6))

    def offset_factor(self, images_seen: int) -> float:
        """Share of the camera rate for the offsets."""
        return self.camera_factor(images_seen) if images_seen >= self.offset_start * self.images else 0.0


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


class InverseGraphicsTask(pl.LightningModule):
    """Network and camera table against the pictures of a stream; one optimizer, one loss.

    cameras: the start, usually the annotated bins (see `CameraTable`); learned unless its parameters are frozen.
    perceptual: the frozen distance, None for the automatic choice (not loaded at all if its weight is 0). It is kept
    outside of the module tree: neither in checkpoints nor among DDP's parameters.
    A `stopping.Budget` of `settings.images` ends the training.
    """

    images_seen: Tensor

    def __init__(
        self,
        cameras: CameraTable,
        network: InverseNetworkConfig = DEFAULT_NETWORK,
        settings: InverseSettings = InverseSettings(),
        weights: InverseLossWeights = DEFAULT_WEIGHTS,
        perceptual: PerceptualDistance | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.weights = settings, weights
        # Channels last takes a quarter off the time on a CPU, and more on GPUs with bfloat16.
        self.network = InverseGraphicsNetwork(network).to(memory_format=torch.channels_last)
        self.cameras = cameras
        self.survey = CameraSurvey(len(cameras), settings.survey)
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.long))
        if perceptual is None and weights.perceptual > 0:
            perceptual = PerceptualDistance(stages=settings.perceptual_stages)
        self._frozen = () if perceptual is None else (perceptual,)
        self._adjacency = Adjacency.build(self.network.template.faces)
        self._annotated = cameras.azimuth.detach().clone()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW in four groups: network, what all objects share, cameras and their offsets (Adam: without decay)."""
        settings = self.settings
        shared = self.network.shared_parameters()
        known = {id(parameter) for parameter in shared}
        own = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        offsets = [self.cameras.offset] if self.cameras.offset.requires_grad else []
        cameras = [p for p in self.cameras.parameters() if p.requires_grad and p is not self.cameras.offset]
        groups: list[dict[str, Any]] = [
            {"params": own, "weight_decay": settings.weight_decay},
            {"params": shared, "weight_decay": 0.0},
            {"params": cameras, "weight_decay": 0.0},
            {"params": offsets, "weight_decay": 0.0},
        ]
        # Fused takes 30 ms off a step on a CPU; on GPUs it would hinder gradient scaling.
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=self.device.type == "cpu" or None)

    def on_fit_start(self) -> None:
        """What is not a sub-module follows to the device by hand."""
        self._adjacency = self._adjacency.to(self.device)
        for measure in self._frozen:
            measure.to(self.device)

    def training_step(self, batch: MultiViewBatch, batch_index: int) -> Tensor:
        """Eq. 2 on one batch: every object's prediction from each view explains all its views."""
        if self.survey.complete:
            self._move_cameras()
        self._set_rates()
        result = self.step(batch)
        loss = result.losses.total(self.weights)
        self._report(result, loss)
        self._survey(batch, result)
        self.images_seen += batch.view_ids.numel() * self.trainer.world_size
        return loss

    def loss_terms(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """The terms of the loss by name, before weighting, as `training_step` sums them."""
        losses = self.step(batch).losses
        return {name: getattr(losses, name).mean() for name in TERMS}

    def step(self, batch: MultiViewBatch) -> StepResult:
        """Losses and renders of a batch at the present point of the schedules."""
        seen, settings = int(self.images_seen), self.settings
        return inverse_step(
            self.network,
            self.cameras,
            batch.images,
            batch.masks,
            batch.view_ids,
            self._adjacency,
            silhouette=settings.silhouette.at(seen, settings.images),
            perceptual=self._plan(seen, batch),
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """The network's gradient is clipped; the cameras' few numbers are left alone."""
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip, error_if_nonfinite=True)
        self.log("gradient_norm", norm)

    def _plan(self, seen: int, batch: MultiViewBatch) -> PerceptualPlan | None:
        settings = self.settings
        if not self._frozen or not self.weights.perceptual or seen < settings.perceptual_start * settings.images:
            return None
        return PerceptualPlan(self._frozen[0], settings.perceptual_renders, step_seed(seen), batch.sample_index)

    def _survey(self, batch: MultiViewBatch, result: StepResult) -> None:
        settings, seen = self.settings, int(self.images_seen)
        if not self.cameras.azimuth.requires_grad or not self.survey.due(seen, settings.images):
            return
        losses = hypothesis_losses(
            self.network,
            result.reconstruction,
            self.cameras(batch.view_ids.flatten()),
            batch.images,
            batch.masks,
            weights=self.weights,
            silhouette=settings.silhouette.at(seen, settings.images),
            turns=settings.survey.turns,
        )
        self.survey.add(all_gather(batch.view_ids.flatten()), all_gather(losses))

    def _move_cameras(self) -> None:
        """Jump where a survey says so; what Adam remembers of the old place is forgotten."""
        before = self.cameras.azimuth.detach().clone()
        moved = self.survey.decide(self.cameras)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for parameter in (self.cameras.azimuth, self.cameras.offset):
            if "exp_avg" in optimizer.state[parameter]:
                optimizer.state[parameter]["exp_avg"][moved] = 0.0
        for view in moved.nonzero()[:, 0].tolist():
            angles = [float(table[view].rad2deg()) for table in (before, self.cameras.azimuth.detach())]
            log.info("camera of view code %d moved from %.0f to %.0f degrees", view, *angles)

    def _set_rates(self) -> None:
        settings, seen = self.settings, int(self.images_seen)
        rate = settings.learning_rate * settings.network_factor(seen)
        cameras, offsets = (settings.camera_rate * f(seen) for f in (settings.camera_factor, settings.offset_factor))
        rates = (rate, rate * settings.mean_rate_factor, cameras, offsets)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group, value in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = value

    @torch.no_grad()
    def _report(self, result: StepResult, loss: Tensor) -> None:
        losses, renders, views = result.losses, result.renders, result.losses.color.shape[1]
        values = {f"loss/{name}": getattr(losses, name).detach().mean() for name in TERMS}
        covered = (renders.face_index >= 0)[:, None].float()
        iou = silhouette_iou(covered, result.target_masks).view(-1, views, views)
        own = torch.eye(views, dtype=torch.bool, device=iou.device)
        cameras = self.cameras.all()
        self.log_dict(
            {
                **values,
                "loss/total": loss.detach(),
                "iou/own_view": iou[:, own].mean(),
                "iou/other_view": iou[:, ~own].mean() if views > 1 else iou.mean(),
                "chroma_error": chroma_error(renders.rgb, result.targets, result.target_masks).mean(),
                "camera/elevation_degrees": cameras.elevation.mean().rad2deg(),
                "camera/elevation_spread_degrees": cameras.elevation.std(correction=0).rad2deg(),
                "camera/log_distance_spread": cameras.distance.log().std(correction=0),
                "images": self.images_seen.float(),
                **self._vitals(result, views),
            },
            batch_size=1,
        )

    def _vitals(self, result: StepResult, views: int) -> dict[str, Tensor]:
        """What `sentinels.ALARMS` look at; textures of every object's first view."""
        seen = result.reconstruction
        return {
            **mask_vitals(result.target_masks),
            **texture_vitals(seen.texture[::views]),
            **mesh_vitals(self.network.mesh(seen)),
            **camera_vitals(self.cameras.all(), self._annotated.to(self.device)),
        }
