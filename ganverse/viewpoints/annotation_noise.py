"""What goes wrong when people annotate view codes: coarse bins, unsteady hands, and plain mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError


@dataclass(frozen=True)
class AnnotationNoise:
    """Faults of the annotated azimuths, for experiments; the defaults change nothing.

    bins: of 360 / bins degrees to which azimuths are rounded; 0 leaves them. jitter_degrees: largest further error, to
    either side. wrong: share of the views (rounded) put into another bin, any of them; needs bins. seed: of all this.
    """

    bins: int = 0
    jitter_degrees: float = 0.0
    wrong: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bins < 0 or self.jitter_degrees < 0 or not 0 <= self.wrong <= 1 or (self.wrong and self.bins < 2):
            raise GanverseError(
                "expected 0 bins or more, a jitter of 0 degrees or more and a wrong share in [0, 1] of two bins or "
                f"more, got {self}"
            )

    def applied(self, azimuth_degrees: Float[Tensor, " views"]) -> Float[Tensor, " views"]:
        """The faulty annotation: a pure function of the settings and the true one."""
        source = torch.Generator().manual_seed(self.seed)
        noisy = azimuth_degrees.double()
        if self.bins:
            width = 360.0 / self.bins
            bins = (noisy / width).round()
            mistaken = torch.randperm(len(noisy), generator=source)[: round(self.wrong * len(noisy))]
            if len(mistaken):
                bins[mistaken] += torch.randint(1, self.bins, (len(mistaken),), generator=source).double()
            noisy = (bins * width).remainder(360.0)
        spread = 2 * torch.rand(len(noisy), generator=source, dtype=torch.float64) - 1
        return (noisy + self.jitter_degrees * spread).to(azimuth_degrees)
