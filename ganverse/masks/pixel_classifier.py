"""A classifier of single pixels by their GAN features, trained on a handful of painted pictures (DatasetGAN)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.errors import GanverseError


@dataclass(frozen=True)
class PixelTraining:
    """Length and pace: AdamW along a cosine, every step on `pixels` of all pixels. hidden: width of the classifier."""

    steps: int = 150
    pixels: int = 2048
    hidden: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    seed: int = 0


class PixelClassifier(nn.Module):
    """Features of a pixel to the logit of belonging to the object; knows mean and spread of the features."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Float[Tensor, " channels"], scale: Float[Tensor, " channels"], hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(nn.Linear(len(mean), hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, pixels: Float[Tensor, "pixels channels"]) -> Float[Tensor, " pixels"]:
        """Logits of pixels."""
        logits: Tensor = self.layers((pixels - self.mean) / self.scale)
        return logits[:, 0]

    @torch.no_grad()
    def masks(self, features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Probabilities in [0, 1] of whole pictures."""
        rows: Tensor = self(features.permute(0, 2, 3, 1).flatten(0, 2)).sigmoid()
        return rows.view(len(features), 1, *features.shape[2:])


def train_pixel_classifier(
    pixels: Float[Tensor, "pixels channels"], truth: Float[Tensor, " pixels"], settings: PixelTraining | None = None
) -> PixelClassifier:
    """A classifier in evaluation mode; truth in [0, 1]: 1 is the object. The same call gives the same weights.

    Raises:
        GanverseError: nothing, or everything, is painted.
    """
    settings = settings or PixelTraining()
    if not 0 < float(truth.mean()) < 1:
        raise GanverseError("expected masks with white for the object and black for the rest, got only one of the two")
    random = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        classifier = PixelClassifier(pixels.mean(dim=0), pixels.std(dim=0).clamp_min(1e-6), settings.hidden)
    optimizer = torch.optim.AdamW(
        classifier.layers.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        chosen = torch.randint(len(pixels), (settings.pixels,), generator=random)
        loss = F.binary_cross_entropy_with_logits(classifier(pixels[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return classifier.eval().requires_grad_(False)
