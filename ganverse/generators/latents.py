"""Latent codes by name: code i of a seed is a pure function of (seed, i), on any machine and in any order."""

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
