"""Random numbers as pure functions of (seed, index): any order, any machine and any split over processes draws the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def latents(seed: int, indices: Int[Tensor, " batch"] | Sequence[int], dims: int) -> Float[Tensor, "batch dims"]:
    """Standard normal codes, one per index (counter-based Philox keyed by seed and index)."""
    rows = [np.random.Generator(np.random.Philox(key=[seed, int(i)])).standard_normal(dims) for i in indices]
    return torch.from_numpy(np.asarray(rows, dtype=np.float32).reshape(-1, dims))


def step_seed(*entropy: int) -> int:
    """One seed out of several non-negative numbers, such as a run's seed, the images seen and the purpose."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def normals(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Standard normal numbers, a pure function of (seed, key) for every row; on the keys' device."""
    return latents(seed, keys.cpu(), dims).to(keys.device)


def uniforms(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Numbers in [0, 1), else like `normals`."""
    return torch.special.ndtr(normals(seed, keys, dims)).clamp_max(1 - 2**-24)
