"""Random numbers as pure functions of (seed, index), independent of order and number of processes."""

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
    """Combines several non-negative numbers, such as the run's seed and the images seen, into one seed."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def uniforms(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Uniform numbers in [0, 1): a pure function of (seed, key) per row, computed on the keys' device.

    SplitMix64 (Steele et al. 2014) of seed, key and column: integer arithmetic, the same bits on every device.
    """
    rows = _split_mix(_split_mix(keys.long()) ^ _signed(seed))
    mixed = _split_mix(rows[:, None] + torch.arange(dims, device=keys.device))
    return (mixed >> 40 & 0xFFFFFF).float() / 2**24


def normals(seed: int, keys: Int[Tensor, " batch"], dims: int) -> Float[Tensor, "batch dims"]:
    """Standard normal numbers; otherwise like `uniforms`."""
    return torch.special.ndtri(uniforms(seed, keys, dims) + 2**-25)


def _split_mix(state: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """One step of SplitMix64 on 64-bit integers, which wrap around."""
    z = state + _signed(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shift(z, shift)) * _signed(factor)
    return z ^ _shift(z, 31)


def _shift(x: Int[Tensor, "*shape"], by: int) -> Int[Tensor, "*shape"]:
    """Logical right shift."""
    return x >> by & (2 ** (64 - by) - 1)


def _signed(number: int) -> int:
    """An unsigned 64-bit number as torch's signed one."""
    return number - 2**64 if number >= 2**63 else number
