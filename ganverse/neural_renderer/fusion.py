"""Which style dimension listens to shape, texture or background (paper, section 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SOURCES = ("shape", "texture", "background")


class StyleFusion(nn.Module):
    """content = s_m * z_shape + s_t * z_txt + s_b * z_bck, the three weights of every dimension summing to one.

    The weights are global: a property of the generator, not of a sample. Starting from 1/3 each, the entropy term
    drives them to one-hot, so that in the end every style dimension belongs to one source.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(len(SOURCES), dimensions))

    @property
    def weights(self) -> Float[Tensor, "3 dims"]:
        """s_m, s_t, s_b, one row each."""
        return self.logits.softmax(dim=0)

    def forward(
        self,
        shape: Float[Tensor, "batch dims"],
        texture: Float[Tensor, "batch dims"],
        background: Float[Tensor, "batch dims"],
    ) -> Float[Tensor, "batch dims"]:
        return torch.einsum("sd,sbd->bd", self.weights, torch.stack([shape, texture, background]))

    def entropy(self) -> Float[Tensor, " dims"]:
        """Entropy in nats of every dimension's weights: log 3 at the start, 0 when one-hot."""
        return -(self.weights * self.logits.log_softmax(dim=0)).sum(dim=0)

    def shares(self) -> Float[Tensor, "3"]:
        """Fraction of the dimensions won by each source."""
        winners = torch.nn.functional.one_hot(self.logits.argmax(dim=0), len(SOURCES))
        return winners.float().mean(dim=0)
