"""Stage 2: trains the inverse graphics network and the cameras on multi-view batches (paper, section 3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ganverse.augmentation import AugmentationSettings, augmented
from ganverse.batch import MultiViewBatch
from ganverse.distributed import all_gather
from ganverse.errors import AT_LEAST_1, POSITIVE, SHARE, check_ranges
from ganverse.inverse.camera_survey import CameraSurvey, SurveyPlan, hypothesis_losses
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import DEFAULT_WEIGHTS, InverseLossWeights, chroma_error, silhouette_iou
from ganverse.inverse.network import DEFAULT_NETWORK, InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.objective import PerceptualPlan, SilhouetteSchedule, StepResult, inverse_step
from ganverse.inverse.perceptual import PerceptualDistance, PerceptualWeights, check_size
from ganverse.inverse.starting import measured_axes, start_from
from ganverse.inverse.weights import InverseCard, load_inverse, save_inverse
from ganverse.random_streams import step_seed
from ganverse.tasks.base import BaseTask, cosine, primitive
from ganverse.tasks.media import inverse_media
from ganverse.training.charts import Moment
from ganverse.training.diagnostics import (
    camera_diagnostics,
    mask_diagnostics,
    mesh_diagnostics,
    texture_diagnostics,
)
from ganverse.training.media import Medium

log = logging.getLogger(__name__)

TERMS = ("color", "silhouette", "perceptual", "flatten", "laplacian", "move", "camera")
_MEASURED_OBJECTS = 24
_HISTORY_IMAGES = 500


@dataclass(frozen=True)
class CameraStart:
    """Initial cameras, apart from their azimuths (paper: elevation 0, one distance for all)."""

    elevation_degrees: float = 0.0
    """Initial elevation in degrees, positive above the object."""
    distance: float = 4.0
    """Mean distance in world units (template sphere: radius 1). Fixed: it is interchangeable with object scale."""
    learn_offset: bool = True
    """Whether to learn an image shift per view."""

    def __post_init__(self) -> None:
        check_ranges(self, distance=(1.01, 1e3), elevation_degrees=(-80, 80))


@dataclass(frozen=True)
class PerceptualSettings:
    """When and on how many renders the perceptual loss is computed."""

    start: float = 0.1
    """Share of the training without the perceptual loss (paper: the first 3 K of 200 K steps)."""
    renders: int = 8
    """Renders per step and process. All renders would cost more than the rest of the step."""
    weights: PerceptualWeights = "stlpips"
    """Weights of the perceptual network. `lpips-alex` and `lpips-vgg` need torchvision's files."""
    stages: int = 3
    """Number of stages of the perceptual network."""

    def __post_init__(self) -> None:
        check_ranges(self, start=SHARE, renders=AT_LEAST_1, stages=(1, 5))


class InverseGraphics(BaseTask):
    """Fits the inverse network and the camera table to multi-view images with one optimizer and one loss (Eq. 1, 2).

    The number of views, their annotated azimuths and the resolution come from the trainer's DataModule or from a
    checkpoint's hyperparameters. Image counts are images seen by the network, over all processes.

    Args:
        network: architecture; its resolution is replaced by that of the data.
        cameras: initial cameras.
        losses: weights of the loss terms.
        images: length of the training; all schedules end there.
        learning_rate: of AdamW, after a linear warm-up along a cosine to 0.
        decay: whether all rates follow a cosine to 0. The paper's stay constant.
        warm_up_images: length of the warm-up in images.
        weight_decay: of the network's own weights; with 0, AdamW is Adam.
        mean_rate_factor: learning rate of parameters that all objects share (mean shape, texel biases), relative to
            `learning_rate`.
        camera_rate: learning rate of the cameras (Adam), constant for `camera_hold`, then along a cosine to 0.
        camera_hold: share of the images; elevations start at 0 and must converge first.
        offset_start: share of the images before image offsets are learned; earlier they compensate for wrong azimuths.
        clip: maximum norm of the network's gradient.
        silhouette: schedule of the soft silhouette's sharpness.
        perceptual: when and on how many renders the perceptual loss is computed.
        survey: when cameras are compared with other hypotheses.
        augmentation: of the training samples; mirrors objects if `network.symmetric` is set.
        ellipsoid: `given` starts from `network.axes`, `measured` from axes measured on silhouettes.
        start: trained weights to continue from (see `find_weights`), of the same architecture or with fewer
            subdivisions (coarse to fine). Includes their cameras.
        ema_half_life: half-life of the running average of the weights, in images; 0 disables it.
        azimuth_degrees: annotated azimuth of every view. Default: that of the data.
    """

    network: InverseGraphicsNetwork
    cameras: CameraTable
    annotated: Tensor

    def __init__(
        self,
        network: InverseNetworkConfig = DEFAULT_NETWORK,
        cameras: CameraStart = CameraStart(),
        losses: InverseLossWeights = DEFAULT_WEIGHTS,
        images: int = 64_000,
        learning_rate: float = 1e-3,
        decay: bool = True,
        warm_up_images: int = 2_000,
        weight_decay: float = 1e-2,
        mean_rate_factor: float = 3.0,
        camera_rate: float = 3e-3,
        camera_hold: float = 0.45,
        offset_start: float = 0.35,
        clip: float = 5.0,
        silhouette: SilhouetteSchedule = SilhouetteSchedule(),
        perceptual: PerceptualSettings = PerceptualSettings(),
        survey: SurveyPlan = SurveyPlan(),
        augmentation: AugmentationSettings = AugmentationSettings(),
        ellipsoid: Literal["given", "measured"] = "given",
        start: str | None = None,
        ema_half_life: float = 1000.0,
        azimuth_degrees: Sequence[float] | None = None,
    ) -> None:
        super().__init__(images, ema_half_life)
        self.save_settings()
        rates = {"learning_rate": learning_rate, "camera_rate": camera_rate, "clip": clip}
        check_ranges(rates, **dict.fromkeys(rates, POSITIVE))
        check_ranges({"warm_up_images": warm_up_images, "weight_decay": weight_decay, "mean_rate": mean_rate_factor})
        shares = {"camera_hold": camera_hold, "offset_start": offset_start}
        check_ranges(shares, **dict.fromkeys(shares, SHARE))
        self.config, self.camera_start, self.weights = network, cameras, losses
        self.learning_rate, self.decay = learning_rate, decay
        self.warm_up_images, self.weight_decay = warm_up_images, weight_decay
        self.mean_rate_factor, self.camera_rate, self.camera_hold = mean_rate_factor, camera_rate, camera_hold
        self.offset_start, self.clip, self.silhouette = offset_start, clip, silhouette
        self.perceptual, self.survey_plan, self.ellipsoid = perceptual, survey, ellipsoid
        self.augmentation = replace(augmentation, mirror=augmentation.mirror and network.symmetric)
        self.start = None if start is None else load_inverse(start)
        self._moments: list[tuple[int, Tensor]] = []  # on the GPU until they are read
        self._frozen: tuple[PerceptualDistance, ...] = ()  # a tuple hides it from the module
        if azimuth_degrees is not None:
            self._build(azimuth_degrees)

    @property
    def needs_views(self) -> bool:
        """As in `BaseTask`."""
        return not hasattr(self, "network")

    def configure_model(self) -> None:
        """Builds the network for the trainer's data, unless the hyperparameters describe it fully."""
        if not self.needs_views:
            return
        reset_seed()  # like DDP, so that the initial weights do not depend on the number of processes
        self.config = replace(self.config, resolution=self.data.resolution)
        if self.weights.perceptual > 0:
            check_size(self.config.resolution, "losses.perceptual")
        if self.ellipsoid == "measured":
            self.config = replace(self.config, axes=self._measured_axes())
        self.hparams.update(
            network=primitive(self.config), ellipsoid="given", azimuth_degrees=list(self.data.azimuth_degrees)
        )
        self._build(self.data.azimuth_degrees)
        if self.data.known_cameras is not None:
            self.cameras.load_state_dict(self.data.known_cameras.state_dict())
            self.cameras.requires_grad_(False)

    def _build(self, azimuth_degrees: Sequence[float]) -> None:
        # Channels-last saves a quarter of the time on a CPU, and more on GPUs with bfloat16.
        self.network = InverseGraphicsNetwork(self.config).to(memory_format=torch.channels_last)
        begin, trained = self.camera_start, self.start
        self.cameras = CameraTable(
            azimuth_degrees,
            elevation_degrees=begin.elevation_degrees,
            distance=begin.distance,
            learn_offset=begin.learn_offset if trained is None else trained.cameras.learn_offset,
        )
        self.register_buffer("annotated", self.cameras.azimuth.detach().clone(), persistent=False)
        if trained is not None:
            start_from(self.network, trained.network)
            if len(trained.cameras) == len(self.cameras):
                self.cameras.load_state_dict(trained.cameras.state_dict())
        self.survey = CameraSurvey(self.annotated, self.survey_plan)

    def _measured_axes(self) -> tuple[float, float, float]:
        drawn = self.data.make(torch.arange(_MEASURED_OBJECTS))  # folders may have fewer held-out objects
        azimuth = torch.tensor(self.data.azimuth_degrees)[drawn.view_ids.flatten()]
        axes = measured_axes(drawn.masks.flatten(0, 1), azimuth, self.camera_start.distance)
        log.info("half-axes of the initial ellipsoid, measured on silhouettes: %s", axes)
        return axes

    @property
    def compilable(self) -> Sequence[nn.Module]:
        """As in `BaseTask`."""
        return self.network.encoder, self.network.texture.decoder

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with four groups: network; shared parameters, cameras, offsets (these three without weight decay)."""
        shared = self.network.shared_parameters()
        known = {id(parameter) for parameter in shared}
        own = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        offsets = [self.cameras.offset] if self.cameras.offset.requires_grad else []
        cameras = [p for p in self.cameras.parameters() if p.requires_grad and p is not self.cameras.offset]
        rate = self.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": own, "lr": rate, "weight_decay": self.weight_decay},
            {"params": shared, "lr": rate * self.mean_rate_factor, "weight_decay": 0.0},
            {"params": cameras, "lr": self.camera_rate, "weight_decay": 0.0},
            {"params": offsets, "lr": self.camera_rate, "weight_decay": 0.0},
        ]
        # Fused saves 30 ms per step on a CPU; on GPUs it would interfere with gradient scaling.
        optimizer = torch.optim.AdamW(groups, fused=self.device.type == "cpu" or None)
        factors = [self.network_factor, self.network_factor, self.camera_factor, self.offset_factor]
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer, factors)}

    def network_factor(self, images_seen: int) -> float:
        """Learning-rate factor of the network after a number of images."""
        warm = min((images_seen + 1) / max(self.warm_up_images, 1), 1.0)
        return warm * self._decayed(images_seen / self.images)

    def camera_factor(self, images_seen: int) -> float:
        """Learning-rate factor of the cameras after a number of images."""
        return self._decayed((images_seen / self.images - self.camera_hold) / max(1 - self.camera_hold, 1e-6))

    def _decayed(self, progress: float) -> float:
        return cosine(progress) if self.decay else 1.0

    def offset_factor(self, images_seen: int) -> float:
        """Learning-rate factor of the offsets, relative to the camera rate."""
        return self.camera_factor(images_seen) if images_seen >= self.offset_start * self.images else 0.0

    def on_fit_start(self) -> None:
        """Moves tensors outside the submodules to the device."""
        if self.weights.perceptual > 0:
            chosen = self.perceptual
            self._frozen = (PerceptualDistance(chosen.weights, chosen.stages).to(self.device),)

    def training_step(self, batch: MultiViewBatch, batch_idx: int) -> Tensor:
        """Eq. 2 on one batch: each object's prediction from every view must explain all its views."""
        self._note_cameras()
        if self.survey.complete:
            self._move_cameras()
        batch = augmented(batch, self.augmentation)
        result = self.step(batch)
        loss = result.losses.total(self.weights)
        self._log_step(result, loss)
        self._collect_survey(batch, result)
        self.count_images(batch.view_ids.numel())
        return loss

    def validation_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        """Silhouettes and colors of held-out objects, for the input view and the other views."""
        own, other, values = self._agreement(self.step(batch))
        values |= {"iou/own_view": own, "iou/other_view": other}
        self.log_dict({f"val/{name}": v for name, v in values.items()}, batch_size=len(batch), sync_dist=True)

    def test_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        """Same as validation."""
        self.validation_step(batch, batch_idx)

    def step(self, batch: MultiViewBatch) -> StepResult:
        """Losses and renders of a batch at the current point of the schedules."""
        return inverse_step(
            self.network,
            self.cameras,
            batch.images,
            batch.masks,
            batch.view_ids,
            placement=batch.placement,
            silhouette=self.silhouette.at(self.images_seen, self.images),
            perceptual=self._perceptual_plan(batch) if self.training else None,
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the network's gradient, but not the cameras'."""
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.log("gradient_norm", norm)

    def _perceptual_plan(self, batch: MultiViewBatch) -> PerceptualPlan | None:
        settings, seen = self.perceptual, self.images_seen
        if not self._frozen or seen < settings.start * self.images:
            return None
        return PerceptualPlan(self._frozen[0], settings.renders, step_seed(seen), batch.sample_index)

    def _collect_survey(self, batch: MultiViewBatch, result: StepResult) -> None:
        if not self.cameras.azimuth.requires_grad or not self.survey.due(self.images_seen, self.images):
            return
        losses = hypothesis_losses(
            self.network,
            result.reconstruction,
            self.cameras(batch.view_ids.flatten()),
            self.annotated[batch.view_ids.flatten()],
            batch.images,
            batch.masks,
            placement=batch.placement,
            weights=self.weights,
            silhouette=self.silhouette.at(self.images_seen, self.images),
            turns=self.survey_plan.turns,
        )
        ids, losses = all_gather(torch.cat([batch.view_ids.view(-1, 1).to(losses), losses], dim=1)).tensor_split([1], 1)
        self.survey.add(ids[:, 0].long(), losses)

    def _move_cameras(self) -> None:
        """Moves cameras where a survey says so, and resets their Adam state."""
        moved = self.survey.decide(self.cameras)
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        for parameter in (self.cameras.azimuth, self.cameras.offset):
            # reading `state[...]` of a parameter that does not learn would add it, and no checkpoint could be written
            if "exp_avg" in (state := optimizer.state.get(parameter, {})):
                state["exp_avg"][moved] = 0.0

    def _note_cameras(self) -> None:
        """Records the cameras' path during training, which checkpoints keep."""
        if self._moments and self.images_seen < self._moments[-1][0] + _HISTORY_IMAGES:
            return
        self._moments.append((self.images_seen, self.cameras.azimuth.detach().rad2deg()))

    @property
    def camera_history(self) -> list[Moment]:
        """All cameras at the start and then every 500 images."""
        return [(images, azimuths.tolist()) for images, azimuths in self._moments]

    @torch.no_grad()
    def _agreement(self, result: StepResult) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Silhouette IoU of the input view and of other views; losses and chroma error."""
        views = result.losses.color.shape[1]
        covered = (result.renders.face_index >= 0)[:, None].float()
        iou = silhouette_iou(covered, result.target_masks).view(-1, views, views)
        # off the diagonal, without a mask: the host would wait for a GPU to count its elements
        others = iou.flatten(1)[:, 1:].unflatten(1, (views - 1, views + 1))[..., :-1].flatten() if views > 1 else iou
        values = {f"loss/{name}": getattr(result.losses, name).detach().mean() for name in TERMS}
        values["chroma_error"] = chroma_error(result.renders.rgb, result.targets, result.target_masks).mean()
        return iou.diagonal(dim1=1, dim2=2).mean(), others.mean(), values

    @torch.no_grad()
    def _log_step(self, result: StepResult, loss: Tensor) -> None:
        own, other, values = self._agreement(result)
        views, seen = result.losses.color.shape[1], result.reconstruction
        values |= {"loss/total": loss.detach(), "iou/own_view": own, "iou/other_view": other}
        values |= mask_diagnostics(result.target_masks) | texture_diagnostics(seen.texture[::views])
        values |= mesh_diagnostics(self.network.mesh(seen)) | camera_diagnostics(self.cameras.all(), self.annotated)
        self.log_step(values, bar={"iou": own, "iou_other": other})

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the data, and of the weights that training started from."""
        start = {} if self.start is None else {"start": self.start.card.sha256}
        return super().fingerprints() | start

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the cameras' path too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["camera_history"] = self.camera_history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the cameras' path too."""
        super().on_load_checkpoint(checkpoint)
        self._moments = [(images, torch.tensor(azimuths)) for images, azimuths in checkpoint["camera_history"]]

    def sample_media(self, batch: MultiViewBatch | None) -> Mapping[str, Medium]:
        """See `inverse_media`."""
        return {} if batch is None else inverse_media(self.network, self.cameras, batch, self.camera_history)

    def save_pretrained(self, path: Path) -> InverseCard:
        """Writes weights (.safetensors) and their card, for `Reconstructor.from_pretrained` and the next stage."""
        source = None if self._trainer is None else self.data.source
        chosen = self.perceptual
        perceptual = f"{chosen.weights}-{chosen.stages}" if self.weights.perceptual > 0 else ""
        card = InverseCard("data", "", self.images_seen, 0, perceptual=perceptual)
        if source is not None:
            card = replace(
                card,
                generator=source.name,
                generator_sha256=source.sha256,
                category=source.settings.category,
                license=source.license,
            )
        return save_inverse(self.network, self.cameras, path, card)
