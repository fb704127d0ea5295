"""Which dimensions and directions of w* follow the viewpoint, on known mixtures and on the car world."""

from __future__ import annotations

import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.style_analysis import (
    StyleAnalysis,
    explained_variance,
    find_content_directions,
    find_view_dims,
    fit_content_directions,
    predict_random_poses,
    select_view_dims,
)
from ganverse.worlds.generator import CarWorldGenerator


def circle(*angles: torch.Tensor) -> torch.Tensor:
    """Cosine and sine of angles, as columns."""
    return torch.stack([f(angle) for angle in angles for f in (torch.cos, torch.sin)], dim=1)


def _world(samples: int = 2000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Styles: 0 azimuth, 1 elevation, 2 azimuth and size alike, 3 size, 4 color, 5 noise, 6 constant."""
    generator = torch.Generator().manual_seed(1)
    azimuth = torch.rand(samples, generator=generator) * 6.283
    elevation = torch.rand(samples, generator=generator) * 0.4
    size, color, noise = torch.randn(3, samples, generator=generator)
    columns = [azimuth.sin(), elevation, azimuth.cos() + 0.8 * size, size, color, noise, torch.ones(samples)]
    styles = torch.stack(columns, dim=1) + 0.05 * torch.randn(samples, 7, generator=generator)
    styles[:, 6] = 1.0
    return styles, azimuth, elevation, torch.stack([size, color], dim=1)


def test_the_dimensions_that_move_with_the_view_are_found() -> None:
    styles, azimuth, elevation, content = _world()
    targets = circle(azimuth, elevation)
    assert select_view_dims(styles, targets, content, 2) == (0, 1)
    assert select_view_dims(styles, targets, content, 3) == (0, 1, 2)


def test_content_lowers_the_rank_of_mixed_dimensions() -> None:
    styles, azimuth, _, content = _world()
    mixed = torch.stack([azimuth.cos() + 0.8 * content[:, 0], azimuth.sin() + 2 * torch.randn(len(azimuth))], dim=1)
    assert select_view_dims(mixed, circle(azimuth), content, 1, content_weight=0.0) == (0,)
    assert select_view_dims(mixed, circle(azimuth), content, 1, content_weight=2.0) == (1,)


def test_explained_variance_of_known_mixtures() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4000, generator=generator)
    values = torch.stack([a, a + b, b, torch.full_like(a, 3.0)], dim=1)
    shares = explained_variance(values, torch.stack([a, 2 * a + 7], dim=1))
    assert torch.allclose(shares, torch.tensor([1.0, 0.5, 0.0, 0.0]), atol=0.04)


def test_impossible_requests_are_explained() -> None:
    styles, azimuth, _, content = _world(50)
    with pytest.raises(GanverseError, match="got 9"):
        select_view_dims(styles, circle(azimuth), content, 9)
    with pytest.raises(GanverseError, match="samples"):
        select_view_dims(styles[:6], circle(azimuth[:6]), content[:6], 2)


def _mixed_world(samples: int = 3000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """View (cos, sin) and three content numbers, mixed at random into 12 style dimensions."""
    azimuth = torch.rand(samples) * 2 * math.pi
    content = torch.randn(samples, 3)
    hidden = torch.cat([math.sqrt(2) * circle(azimuth), content, 0.1 * torch.randn(samples, 7)], dim=1)
    mixing = torch.linalg.qr(torch.randn(12, 12))[0]
    return hidden @ mixing, azimuth, content, mixing


def test_objects_keep_their_content_when_everything_else_is_replaced() -> None:
    styles, azimuth, content, mixing = _mixed_world()
    found = fit_content_directions(styles, content, circle(azimuth), 3)
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
    dims = list(select_view_dims(styles, circle(azimuth), content, 2))
    moved = styles.clone()
    moved[:, dims] = styles.flip(0)[:, dims]
    hidden = moved @ mixing.T
    assert (torch.atan2(hidden[:, 1], hidden[:, 0]) - azimuth.flip(0)).cos().mean() < 0.9


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
        fit_content_directions(styles, content, circle(azimuth), 6)


def test_the_view_of_the_car_world_is_found_among_all_its_styles() -> None:
    settings = StyleAnalysis(layers=2, dims=3, samples=300)
    dims = find_view_dims(CarWorldGenerator(), PoseRegressor.from_pretrained(), settings)
    assert dims == (0, 1, 2), "sine and cosine of the azimuth, elevation"


def test_random_poses_are_those_of_the_styles() -> None:
    world = CarWorldGenerator()
    styles, poses = predict_random_poses(world, PoseRegressor.from_pretrained(), 40)
    assert (poses.azimuth - world.cameras(styles).azimuth).cos().min() > 0.9


def test_content_directions_of_the_car_world_avoid_its_view_styles() -> None:
    world = CarWorldGenerator()
    settings = StyleAnalysis(layers=2, directions=3, samples=300)
    found = find_content_directions(world, PoseRegressor.from_pretrained(), settings)
    assert found.write[:2].square().sum() < 0.1 * found.write.square().sum()
    searched = sum(world.style_sizes[:2])
    assert found.read.shape == (sum(world.style_sizes), 3)
    assert not found.read[searched:].any()
    assert not found.write[searched:].any()
