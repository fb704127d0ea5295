import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.viewpoints.correlation import select_view_dims, view_targets
from ganverse.viewpoints.directions import fit_content_directions


def _mixed_world(samples: int = 3000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """View (cos, sin) and three content numbers, mixed at random into 12 style dimensions."""
    azimuth = torch.rand(samples) * 2 * math.pi
    content = torch.randn(samples, 3)
    hidden = torch.cat([math.sqrt(2) * view_targets(azimuth), content, 0.1 * torch.randn(samples, 7)], dim=1)
    mixing = torch.linalg.qr(torch.randn(12, 12))[0]
    return hidden @ mixing, azimuth, content, mixing


def test_objects_keep_their_content_when_everything_else_is_replaced() -> None:
    styles, azimuth, content, mixing = _mixed_world()
    found = fit_content_directions(styles, content, view_targets(azimuth), 3)
    assert torch.allclose(found.read.T @ found.write, torch.eye(3), atol=1e-4)
    others = styles.flip(0)
    moved = others + (styles @ found.read - others @ found.read) @ found.write.T
    hidden = moved @ mixing.T
    azimuth_after = torch.atan2(hidden[:, 1], hidden[:, 0])
    assert (azimuth_after - azimuth.flip(0)).cos().min() > 0.98
    assert (hidden[:, 2:5] - content).abs().max() < 0.5
    assert (hidden[:, 2:5] - content).square().mean() < 0.01


def test_single_dimensions_cannot_do_that() -> None:
    styles, azimuth, content, mixing = _mixed_world()
    dims = list(select_view_dims(styles, view_targets(azimuth), content, 2))
    moved = styles.clone()
    moved[:, dims] = styles.flip(0)[:, dims]
    hidden = moved @ mixing.T
    assert (torch.atan2(hidden[:, 1], hidden[:, 0]) - azimuth.flip(0)).cos().mean() < 0.9


def test_only_the_searched_dimensions_are_touched() -> None:
    styles, azimuth, content, _ = _mixed_world()
    found = fit_content_directions(styles, content, view_targets(azimuth), 2, searched=8)
    assert found.read.shape == (12, 2)
    assert found.read[8:].abs().max() == 0
    assert found.write[8:].abs().max() == 0


def test_content_correlated_with_the_view_is_avoided_where_possible() -> None:
    azimuth = torch.rand(4000) * 2 * math.pi
    size = torch.randn(4000)
    noisy, mixed = size + 0.6 * torch.randn(4000), size + 0.4 * azimuth.sin()
    styles, view = torch.stack([noisy, mixed, torch.randn(4000)], dim=1), azimuth.sin()[:, None]
    correlations = []
    for weight in (0.0, 5.0):
        read = fit_content_directions(styles, size[:, None], view, 1, view_weight=weight).read
        correlations.append(torch.corrcoef(torch.stack([(styles @ read)[:, 0], azimuth.sin()]))[0, 1].abs())
    assert correlations[0] > 0.1
    assert correlations[1] < 0.5 * correlations[0]


def test_impossible_counts_are_explained() -> None:
    styles, azimuth, content, _ = _mixed_world(20)
    with pytest.raises(GanverseError, match="between 1 and 5"):
        fit_content_directions(styles, content, view_targets(azimuth), 6)
