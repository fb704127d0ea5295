"""Optimizes style codes to reproduce real images, starting from StyleGAN-R's prediction or from the mean style.

The latter is plain latent optimization (Image2StyleGAN, in w*), the paper's baseline. It may reproduce the image as
well, but its dimensions have no known meaning, so the object cannot be rotated or edited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import POSITIVE, check_ranges
from ganverse.generators.protocol import ImageGenerator
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes

Images = Float[Tensor, "batch 3 height width"]


@dataclass(frozen=True)
class DescentSettings:
    """Optimization of styles, in standard deviations from their start."""

    steps: int = 60
    """Number of Adam steps."""
    rate: float = 0.05
    """Learning rate of Adam."""
    l1: float = 1.0
    """Weight of the mean absolute color error."""
    perceptual: float = 1.0
    """Weight of the perceptual distance."""
    prior: float = 0.02
    """Weight of the mean squared displacement."""

    def __post_init__(self) -> None:
        check_ranges(self, rate=POSITIVE)


DEFAULT_DESCENT = DescentSettings()


@dataclass(frozen=True)
class RefinedScenes:
    """Scenes with a correction of their content styles, in standard deviations, kept across edits."""

    scenes: Scenes
    correction: Float[Tensor, "batch styles"]

    def __len__(self) -> int:
        return len(self.scenes)

    def edited(self, scenes: Scenes) -> RefinedScenes:
        """Other inputs with the same correction; the number of scenes must match."""
        return RefinedScenes(scenes, self.correction)


def refine(
    renderer: StyleGANR,
    scenes: Scenes,
    pictures: Float[Tensor, "batch 3 height width"],
    perceptual: PerceptualDistance | None = None,
    settings: DescentSettings = DEFAULT_DESCENT,
) -> RefinedScenes:
    """Corrects the content styles until StyleGAN-R reproduces the framed images that the scenes were read from.

    View dimensions stay tied to the camera. perceptual: None omits that term.
    """
    free = renderer.content_dims.to(pictures.dtype)

    def synthesize(correction: Float[Tensor, "batch styles"]) -> Images:
        return renderer.framing.apply(render_refined(renderer, RefinedScenes(scenes, correction * free)))

    start = torch.zeros(len(scenes), len(renderer.mean), device=pictures.device)
    return RefinedScenes(scenes, _descend(synthesize, start, pictures, perceptual, settings) * free)


def render_refined(renderer: StyleGANR, refined: RefinedScenes) -> Float[Tensor, "batch 3 height width"]:
    """Images in [0, 1] at the generator's size."""
    return renderer.generator.synthesize(renderer.styles(refined.scenes) + refined.correction * renderer.deviation)


def project(
    generator: ImageGenerator,
    mean: Float[Tensor, " styles"],
    deviation: Float[Tensor, " styles"],
    pictures: Float[Tensor, "batch 3 height width"],
    perceptual: PerceptualDistance | None = None,
    settings: DescentSettings = DEFAULT_DESCENT,
) -> Float[Tensor, "batch styles"]:
    """Plain latent optimization: styles w* of `generator` that reproduce the images, starting from the mean style.

    mean, deviation: of the generator's own styles (`StyleGANR.mean`, `StyleGANR.deviation`).
    """

    def synthesize(moved: Float[Tensor, "batch styles"]) -> Images:
        return generator.synthesize(mean + moved * deviation)

    start = torch.zeros(len(pictures), len(mean), device=pictures.device)
    return mean + _descend(synthesize, start, pictures, perceptual, settings) * deviation


@torch.enable_grad()
def _descend(
    synthesize: Callable[[Tensor], Tensor],
    start: Float[Tensor, "batch styles"],
    pictures: Float[Tensor, "batch 3 height width"],
    perceptual: PerceptualDistance | None,
    settings: DescentSettings,
) -> Float[Tensor, "batch styles"]:
    moved = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([moved], lr=settings.rate)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        images = synthesize(moved)
        distance = settings.l1 * (images - pictures).abs().mean(dim=(1, 2, 3))
        if perceptual is not None and settings.perceptual:
            distance = distance + settings.perceptual * perceptual(images, pictures)
        # A sum, so that an image's steps do not depend on the batch size.
        loss = (distance + settings.prior * moved.square().mean(dim=1)).sum()
        (moved.grad,) = torch.autograd.grad(loss, [moved])
        optimizer.step()
    return moved.detach()
