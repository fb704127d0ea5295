"""Small binomial low-pass filters of style-based generators; the picture goes on as zeros beyond its border."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def blur(
    x: Float[Tensor, "batch channels height width"], taps: tuple[float, ...]
) -> Float[Tensor, "batch channels height_out width_out"]:
    """Filters both axes with `taps` (normalized to sum 1), one zero of padding on each side."""
    return F.conv2d(x, _kernel(x, taps, 1.0), padding=1, groups=x.shape[1])


def upsample(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height2 width2"]:
    """Twice as large, with [1, 3, 3, 1]: bilinear inside, darker at the border (StyleGAN2, appendix B)."""
    return F.conv_transpose2d(x, _kernel(x, (1.0, 3.0, 3.0, 1.0), 4.0), stride=2, padding=1, groups=x.shape[1])


def _kernel(x: Tensor, taps: tuple[float, ...], gain: float) -> Tensor:
    """One depth-wise kernel per channel of `x`."""
    row = torch.tensor(taps, dtype=x.dtype, device=x.device)
    row = row / row.sum()
    return (torch.outer(row, row) * gain).expand(x.shape[1], 1, -1, -1)
