"""A small CNN that predicts pose, proportions and color of cars, trained on renders of the car world.

It measures car GANs and proposes view codes. A GAN trained with one regressor (`consistency`) is measured with another.
examples/train_pose_regressor.py trains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.pretrained import SHIPPED, load_network

CAR_WEIGHTS = SHIPPED / "pose-regressor-car.safetensors"
BODY_TYPES = 6
HEIGHT_MEAN, HEIGHT_SPREAD = 0.344, 0.035


@dataclass(frozen=True)
class PoseReading:
    """Predictions about images of cars.

    azimuth, elevation: radians, azimuth in [-pi, pi). height: of the car, relative to its length. body_type: logits.
    color: RGB in [0, 1].
    """

    azimuth: Float[Tensor, " batch"]
    elevation: Float[Tensor, " batch"]
    height: Float[Tensor, " batch"]
    body_type: Float[Tensor, "batch types"]
    color: Float[Tensor, "batch 3"]

    @property
    def aspects(self) -> tuple[Float[Tensor, "batch _"], ...]:
        """Shape and color without pose: height, body-type probabilities, color."""
        return self.height[:, None], self.body_type.softmax(dim=1), self.color


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class PoseRegressor(nn.Module):
    """Predicts pose, proportions, body type and color from images of cars (64 px; others are resized)."""

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
    def from_pretrained(cls, source: str | Path = "car") -> PoseRegressor:
        """Loads a regressor, frozen and in eval mode.

        Args:
            source: "car" (shipped) or a .safetensors file.

        Raises:
            GanverseError: the file is missing or not a pose regressor.
        """
        regressor = cls()
        load_network(regressor, CAR_WEIGHTS if source == "car" else Path(source))
        return regressor

    def hidden(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 160"]:
        """The inputs of the last layer, for images in [0, 1]: the feature space of Frechet distances."""
        if images.shape[2:] != (64, 64):
            images = F.interpolate(images, (64, 64), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.head[:-1](self.features((images - 0.5) * 4))
        return features

    def raw(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch outputs"]:
        """cos and sin of the azimuth, elevation, standardized height, RGB, body type logits."""
        outputs: Tensor = self.head[-1](self.hidden(images))
        return outputs

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> PoseReading:
        """Predictions for images in [0, 1]."""
        raw = self.raw(images)
        cosine, sine, elevation, height = raw[:, :4].unbind(dim=1)
        return PoseReading(
            torch.atan2(sine, cosine),
            elevation,
            HEIGHT_MEAN + HEIGHT_SPREAD * height,
            raw[:, 7:],
            raw[:, 4:7].clamp(0, 1),
        )
