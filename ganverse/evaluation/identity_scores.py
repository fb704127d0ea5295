"""The numbers of `gan_identity` with intervals, and the cameras that a generator's view codes show."""

from __future__ import annotations

from dataclasses import fields

import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.evaluation.gan_identity import GridReadings, IdentityMetrics, consensus, identity_metrics
from ganverse.evaluation.metrics import Score
from ganverse.geometry.cameras import Cameras
from ganverse.viewpoints.view_codes import ViewCodes
from ganverse.worlds.scene import framing_distance


def identity_scores(
    readings: GridReadings, codes: ViewCodes, *, resamples: int = 200, seed: int = 0
) -> dict[str, Score]:
    """All fields of `IdentityMetrics`, by name; the intervals resample objects."""
    whole = identity_metrics(readings, codes)
    count, source = len(readings.azimuth), torch.Generator().manual_seed(seed)
    picks = [torch.randint(count, (count,), generator=source) for _ in range(resamples)]
    again = [identity_metrics(_objects(readings, pick), codes) for pick in picks]
    names = [field.name for field in fields(IdentityMetrics)]
    return {name: _score(getattr(whole, name), [getattr(other, name) for other in again], count) for name in names}


def _objects(readings: GridReadings, index: Int[Tensor, " chosen"]) -> GridReadings:
    return GridReadings(*(getattr(readings, field.name)[index] for field in fields(GridReadings)))


def _score(value: float, again: list[float], count: int) -> Score:
    low, high = torch.tensor(again, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return Score(value, low, high, count)


def measured_cameras(readings: GridReadings) -> Cameras:
    """Cameras of the view codes as the regressor sees them, true world.

    Azimuths by majority, elevations by median; pictures do not tell distances: the car world's photographer's are
    taken, who stands `framing_distance` away.
    """
    azimuth, _, _ = consensus(readings.azimuth.T)
    elevation = readings.elevation.median(dim=0).values
    distance = framing_distance(azimuth.cpu(), elevation.cpu()).to(azimuth)
    return Cameras(azimuth, elevation, distance, azimuth.new_zeros(len(azimuth), 2))
