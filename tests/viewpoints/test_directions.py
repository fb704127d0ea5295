"""Content directions on known mixtures and on the car world, on disk, and the view codes that presume them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.protocol import SubspaceGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.directions import (
    ContentDirections,
    StyleAnalysis,
    directions_path,
    find_content_directions,
    fit_content_directions,
    open_views,
    predict_random_poses,
    save_directions,
)
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes
from ganverse.worlds.generator import CarWorldGenerator


@pytest.fixture
def generator() -> StyleGAN2Generator:
    return StyleGAN2Generator(
        StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
    )


def written(folder: Path, styles: int) -> Path:
    read = torch.randn(styles, 2)
    path = folder / "gan-views.yaml"
    sha256 = save_directions(directions_path(path), ContentDirections(read, torch.linalg.pinv(read).T))
    ViewCodes("gan", (0, 1), (ViewCode(3, 90.0),), directions=sha256).save(path)
    return path


def test_codes_with_directions_wrap_the_generator(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    wrapped, codes = open_views(written(tmp_path, sum(generator.style_sizes)), generator)
    assert isinstance(wrapped, SubspaceGenerator)
    assert wrapped.generator is generator
    assert sum(wrapped.style_sizes) == sum(generator.style_sizes) + 2
    assert codes.view_dims == (0, 1)


def test_codes_without_directions_leave_the_generator_alone(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    ViewCodes("gan", (0, 1), (ViewCode(3, 90.0),)).save(tmp_path / "v.yaml")
    assert open_views(tmp_path / "v.yaml", generator)[0] is generator


def test_files_that_do_not_belong_together(tmp_path: Path, generator: StyleGAN2Generator) -> None:
    path = written(tmp_path, 5)
    with pytest.raises(GanverseError, match="expected content directions of"):
        open_views(path, generator)
    directions_path(path).write_bytes(b"another")
    with pytest.raises(GanverseError, match="keep both files together"):
        open_views(path, generator)
    directions_path(path).unlink()
    with pytest.raises(GanverseError, match="cannot be read"):
        open_views(path, generator)


def circle(*angles: torch.Tensor) -> torch.Tensor:
    """Cosine and sine of angles, as columns."""
    return torch.stack([f(angle) for angle in angles for f in (torch.cos, torch.sin)], dim=1)


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
