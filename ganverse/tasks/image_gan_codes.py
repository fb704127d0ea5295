"""The random numbers behind fakes: those of fake i are a pure function of (seed, i), on any number of processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.random_streams import latents


@dataclass(frozen=True)
class FakeCodes:
    """What fakes are painted from.

    first, second: two latents per fake. mixed: the layers that take the second one (StyleGAN, section 3.1). noise: one
    plane per convolution, in the order of `StyleGAN2Generator.noise_shapes`.
    """

    first: Float[Tensor, "batch z_dim"]
    second: Float[Tensor, "batch z_dim"]
    mixed: Bool[Tensor, "batch layers"]
    noise: tuple[Float[Tensor, "batch 1 _ _"], ...]


def fake_codes(
    generator: StyleGAN2Generator,
    seed: int,
    indices: Sequence[int],
    *,
    resolution: int,
    mixing_probability: float,
) -> FakeCodes:
    """Codes of the fakes with the given global indices, on the generator's device."""
    layers = 2 * (resolution.bit_length() - 2)
    shapes = generator.noise_shapes[: layers - 1]
    lengths = [generator.z_dim, generator.z_dim, 2, *(height * width for height, width in shapes)]
    first, second, choices, *planes = latents(seed, indices, sum(lengths)).to(generator.start).split(lengths, dim=1)
    chance, place = torch.special.ndtr(choices).unbind(dim=1)
    crossover = (1 + (place * (layers - 1)).long()).clamp_max(layers - 1)
    behind = torch.arange(layers, device=crossover.device) >= crossover[:, None]
    mixed = behind & (chance < mixing_probability)[:, None]
    noise = tuple(plane.view(-1, 1, *shape) for plane, shape in zip(planes, shapes, strict=True))
    return FakeCodes(first, second, mixed, noise)
