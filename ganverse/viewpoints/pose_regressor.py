"""The measuring stick for a car GAN: a small CNN, trained on car-world renders, that reads pose and identity.

It is used to measure (and to propose view codes), never to train the GAN or the inverse network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ganverse.geometry.cameras import angular_difference
from ganverse.pretrained import SHIPPED, load_network

CAR_WEIGHTS = SHIPPED / "pose-regressor-car.safetensors"
BODY_TYPES = 6
HEIGHT_MEAN, HEIGHT_SPREAD = 0.344, 0.035


@dataclass(frozen=True)
class PoseReading:
    """What a picture of a car shows.

    azimuth, elevation: radians, azimuth in [-pi, pi). height: of the car, as a share of its length. body_type: logits.
    color: RGB of the paint in [0, 1].
    """

    azimuth: Float[Tensor, " batch"]
    elevation: Float[Tensor, " batch"]
    height: Float[Tensor, " batch"]
    body_type: Float[Tensor, "batch types"]
    color: Float[Tensor, "batch 3"]


@dataclass(frozen=True)
class PoseLabels:
    """The truth behind a `PoseReading`, same units; body_type as an index."""

    azimuth: Float[Tensor, " batch"]
    elevation: Float[Tensor, " batch"]
    height: Float[Tensor, " batch"]
    body_type: Int[Tensor, " batch"]
    color: Float[Tensor, "batch 3"]

    def __getitem__(self, index: slice | Tensor) -> PoseLabels:
        fields = (self.azimuth, self.elevation, self.height, self.body_type, self.color)
        return PoseLabels(*(field[index] for field in fields))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class PoseRegressor(nn.Module):
    """Car pictures (64 px; others are resized) to pose, proportions, body type and paint."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_convolution(12, 32),
            *_convolution(32, 64, stride=2),
            *_convolution(64, 64),
            *_convolution(64, 112, stride=2),
            *_convolution(112, 112),
            *_convolution(112, 160, stride=2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(160 * 16, 160), nn.ReLU(), nn.Linear(160, 7 + BODY_TYPES))

    @classmethod
    def car(cls) -> PoseRegressor:
        """The shipped one; frozen, in evaluation mode."""
        regressor = cls()
        load_network(regressor, CAR_WEIGHTS)
        return regressor

    def raw(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch outputs"]:
        """cos and sin of the azimuth, elevation, standardized height, RGB, body type logits."""
        if images.shape[2:] != (64, 64):
            images = F.interpolate(images, (64, 64), mode="bilinear", align_corners=False, antialias=True)
        outputs: Tensor = self.head(self.features((images - 0.5) * 4))
        return outputs

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> PoseReading:
        """images in [0, 1]."""
        raw = self.raw(images)
        cosine, sine, elevation, height = raw[:, :4].unbind(dim=1)
        return PoseReading(
            torch.atan2(sine, cosine),
            elevation,
            HEIGHT_MEAN + HEIGHT_SPREAD * height,
            raw[:, 7:],
            raw[:, 4:7].clamp(0, 1),
        )


@dataclass(frozen=True)
class RegressorTraining:
    """Length and pace of the training; AdamW with one cosine from `learning_rate` to zero."""

    steps: int = 1700
    batch: int = 32
    learning_rate: float = 3e-3
    seed: int = 0


def regression_loss(raw: Float[Tensor, "batch outputs"], labels: PoseLabels) -> Float[Tensor, ""]:
    """Squared errors of direction, elevation and height, L1 of the paint, cross entropy of the type."""
    direction = torch.stack([labels.azimuth.cos(), labels.azimuth.sin()], dim=1)
    pose = F.mse_loss(raw[:, :2], direction) + 4 * F.mse_loss(raw[:, 2], labels.elevation)
    shape = 0.1 * F.mse_loss(raw[:, 3], (labels.height - HEIGHT_MEAN) / HEIGHT_SPREAD)
    kind = 0.05 * F.cross_entropy(raw[:, 7:], labels.body_type)
    return pose + shape + kind + 0.2 * F.l1_loss(raw[:, 4:7], labels.color)


def train_pose_regressor(
    images: UInt8[Tensor, "samples 3 64 64"],
    labels: PoseLabels,
    settings: RegressorTraining | None = None,
    *,
    report: Callable[[int, float], None] | None = None,
) -> PoseRegressor:
    """A regressor trained on 8-bit renders, mirrored at random and slightly blurred and noisy; in evaluation mode.

    report: called with the step and its loss every 50 steps.
    """
    settings = settings or RegressorTraining()
    random = torch.Generator().manual_seed(settings.seed)
    regressor = PoseRegressor().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(regressor.parameters(), lr=settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps, pct_start=0.1)
    for step in range(settings.steps):
        chosen = torch.randint(len(images), (settings.batch,), generator=random)
        pictures, truth = _distort(images[chosen].float() / 255, labels[chosen], random)
        loss = regression_loss(regressor.raw(pictures), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report is not None and step % 50 == 0:
            report(step, loss.item())
    return regressor.eval().requires_grad_(False)


def _distort(images: Tensor, labels: PoseLabels, random: torch.Generator) -> tuple[Tensor, PoseLabels]:
    """A mirrored car is seen from the mirrored azimuth; everything else stays."""
    batch = len(images)
    flip, blur, noise = torch.rand(3, batch, generator=random)
    images = torch.where((flip < 0.5)[:, None, None, None], images.flip(3), images)
    soft = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    images = torch.lerp(images, soft, (2 * blur - 1).clamp_min(0)[:, None, None, None])
    images = images + 0.03 * noise[:, None, None, None] * torch.randn(images.shape, generator=random)
    azimuth = torch.where(flip < 0.5, -labels.azimuth, labels.azimuth)
    mirrored = PoseLabels(azimuth, labels.elevation, labels.height, labels.body_type, labels.color)
    return images.contiguous(memory_format=torch.channels_last), mirrored


@dataclass(frozen=True)
class RegressorErrors:
    """Held-out errors: medians in degrees, share of azimuths off by more than 90 degrees, mean absolute height error

    (share of the car's length), share of right body types, mean absolute paint error.
    """

    azimuth_deg: float
    azimuth_flips: float
    elevation_deg: float
    height: float
    type_accuracy: float
    color: float


@torch.no_grad()
def regressor_errors(
    regressor: PoseRegressor, images: UInt8[Tensor, "samples 3 64 64"], labels: PoseLabels, *, batch: int = 128
) -> RegressorErrors:
    """How far the regressor's readings are from the truth."""
    raw = [regressor(chunk.float() / 255) for chunk in images.split(batch)]
    azimuth = torch.cat([reading.azimuth for reading in raw])
    off = angular_difference(azimuth, labels.azimuth).abs()
    elevation = torch.cat([reading.elevation for reading in raw])
    kind = torch.cat([reading.body_type for reading in raw]).argmax(dim=1)
    return RegressorErrors(
        azimuth_deg=off.median().rad2deg().item(),
        azimuth_flips=(off > math.pi / 2).float().mean().item(),
        elevation_deg=(elevation - labels.elevation).abs().median().rad2deg().item(),
        height=(torch.cat([reading.height for reading in raw]) - labels.height).abs().mean().item(),
        type_accuracy=(kind == labels.body_type).float().mean().item(),
        color=(torch.cat([reading.color for reading in raw]) - labels.color).abs().mean().item(),
    )
