"""Latent codes z to intermediate codes w, as every style-based generator does it (Karras et al. 2019, section 2)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from ganverse.generators.equalized import EqualLinear


class MappingNetwork(nn.Module):
    """z to w: pixel normalization and fully connected layers that learn 100 times slower.

    amplify_bias: whether the activation's gain sqrt(2) comes after the bias (StyleGAN2), or belongs to the weights
    alone (StyleGAN1).
    """

    def __init__(self, z_dim: int, w_dim: int, layers: int, *, amplify_bias: bool = True) -> None:
        super().__init__()
        widths = [z_dim] + [w_dim] * layers
        self.layers = nn.Sequential(
            *(
                EqualLinear(a, b, activate=True, learning_rate_factor=0.01, amplify_bias=amplify_bias)
                for a, b in pairwise(widths)
            )
        )

    def forward(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        """Codes w of latents z."""
        normalized = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        out: Tensor = self.layers(normalized)
        return out
