"""Random numbers of a training step, drawn for every sample alone: any split over processes draws the same ones."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.generators.latents import latents


def step_seed(*entropy: int) -> int:
    """One seed out of several non-negative numbers, such as a run's seed, the images seen and the purpose."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def normals(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Standard normal numbers, a pure function of (seed, key) for every row; on the keys' device."""
    return latents(seed, keys.cpu(), dims).to(keys.device)


def uniforms(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Numbers in [0, 1), else like `normals`."""
    return torch.special.ndtr(normals(seed, keys, dims)).clamp_max(1 - 2**-24)
