"""StyleGAN-R's opponent in stage 2: keeps its pictures as sharp and varied as the frozen GAN's (not in the paper).

A discriminator from scratch needs more pictures than a whole fine-tuning shows. This one looks through the first stages
of the frozen AlexNet of the perceptual distance and learns only small convolutions on top, as in Projected GANs (Sauer
et al. 2021), and it is regularized there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ganverse.inverse.perceptual import PerceptualDistance

STAGES = 3
"""Of AlexNet's five; at 64 px a place of the third already sees most of the object."""


@dataclass(frozen=True)
class CriticSettings:
    """The critic's size and pace.

    width: channels of its convolutions. penalty: weight of the R1 penalty (Mescheder et al. 2018), taken at the
    features. rate: Adam's.
    """

    width: int = 64
    penalty: float = 0.1
    rate: float = 1e-3


DEFAULT_CRITIC = CriticSettings()


class Critic(nn.Module):
    """Features of pictures to logits: above 0 where they look like the frozen GAN's.

    channels: of every stage of features.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, width, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 3, padding=1))
            for count in channels
        )

    def forward(self, features: Sequence[Float[Tensor, "batch _ _ _"]]) -> list[Float[Tensor, "batch 1 _ _"]]:
        """One map of logits per stage."""
        return [head(stage) for head, stage in zip(self.heads, features, strict=True)]


def looked_at(
    eyes: PerceptualDistance, images: Float[Tensor, "batch 3 height width"]
) -> list[Float[Tensor, "batch _ _ _"]]:
    """What the critic sees of pictures in [0, 1]: the features of the first stages, of mean square 1 at every place.

    (Of length 1 they are so small that in 60 steps it had learned nothing.)
    """
    scaled = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
    return [stage.shape[1] ** 0.5 * functional.normalize(stage, dim=1, eps=1e-5) for stage in eyes.network(scaled)]


def make_critic(eyes: PerceptualDistance, settings: CriticSettings = DEFAULT_CRITIC) -> Critic:
    """An untrained critic that looks through `eyes`, a distance of few stages (`STAGES`)."""
    return Critic([len(weights) for weights in eyes.network.head_weights], settings.width)


def game(
    critic: Critic,
    eyes: PerceptualDistance,
    real: Float[Tensor, "batch 3 height width"],
    fake: Float[Tensor, "fakes 3 height width"],
    penalty: float,
) -> tuple[Float[Tensor, " fakes"], Float[Tensor, " batch"]]:
    """`generator_loss` and `critic_loss` on the same pictures; log 2 and 2 log 2 where they cannot be told apart."""
    with torch.no_grad():
        shown = looked_at(eyes, real)
    painted = looked_at(eyes, fake)
    return generator_loss(critic, painted), critic_loss(critic, shown, painted, penalty)


def generator_loss(critic: Critic, fake: Sequence[Float[Tensor, "batch _ _ _"]]) -> Float[Tensor, " batch"]:
    """Non-saturating loss of who painted `fake`; no gradient reaches the critic."""
    held = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    logits: list[Tensor] = torch.func.functional_call(critic, held, (fake,))
    return _mean([functional.softplus(-stage) for stage in logits])


def critic_loss(
    critic: Critic,
    real: Sequence[Float[Tensor, "batch _ _ _"]],
    fake: Sequence[Float[Tensor, "fakes _ _ _"]],
    penalty: float,
) -> Float[Tensor, " batch"]:
    """Logistic loss of the critic with R1, per real picture (fakes: their mean); no gradient reaches a painter."""
    shown = [stage.detach().requires_grad_() for stage in real]
    with torch.enable_grad():
        logits = critic(shown)
        slopes = torch.autograd.grad([stage.sum() for stage in logits], shown, create_graph=True)
    steepness = _mean([slope.square().sum(dim=1, keepdim=True) for slope in slopes])
    real_loss = _mean([functional.softplus(-stage) for stage in logits])
    fake_loss = _mean([functional.softplus(stage) for stage in critic([stage.detach() for stage in fake])])
    return real_loss + fake_loss.mean() + 0.5 * penalty * steepness


def _mean(maps: Sequence[Float[Tensor, "batch 1 _ _"]]) -> Float[Tensor, " batch"]:
    """Over the places of every map, then over the maps."""
    return torch.stack([stage.mean(dim=(1, 2, 3)) for stage in maps]).mean(dim=0)
