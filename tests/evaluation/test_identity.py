"""Whether view codes are viewpoints and content codes objects, on grids with a known answer."""

import math

import pytest
import torch

from ganverse.evaluation.identity import (
    PoseGrid,
    consensus,
    explained_share,
    identity_metrics,
    identity_scores,
    measured_cameras,
    predict_grid,
)
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims, view_styles
from ganverse.worlds.generator import CarWorldGenerator
from tests.evaluation.tiny_models import tiny_world


def grid(objects: int = 30, spread: float = 0.1) -> PoseGrid:
    azimuth = torch.arange(4) * torch.pi / 2 + spread * torch.randn(objects, 4)
    azimuth = torch.remainder(azimuth + torch.pi, 2 * torch.pi) - torch.pi
    types = torch.nn.functional.one_hot(torch.arange(objects) % 3, 3).float()[:, None].expand(-1, 4, -1)
    color = torch.rand(objects, 1, 3).expand(-1, 4, -1)
    return PoseGrid(azimuth, torch.full((objects, 4), 0.2), torch.rand(objects, 4), types, color)


def test_shares_of_a_known_mixture() -> None:
    by_object, by_view = torch.randn(400, 1, 2), torch.randn(1, 300, 2)
    values = 2 * by_object + by_view + torch.randn(400, 300, 2)
    assert explained_share(values) == pytest.approx(4 / 6, abs=0.08)
    assert explained_share(by_object.expand(-1, 300, -1)) == pytest.approx(1.0, abs=1e-4)
    assert explained_share(by_view.expand(400, -1, -1)) == pytest.approx(0.0, abs=1e-4)


def test_flips_are_counted_and_do_not_widen_the_spread() -> None:
    azimuth = torch.tensor([3.0, 1.0])[:, None] + 0.1 * torch.randn(2, 500)
    azimuth[0, :100] += math.pi
    shown, spread, flips = consensus(azimuth)
    assert flips.tolist() == pytest.approx([0.2, 0.0])
    assert spread.tolist() == pytest.approx([0.1, 0.1], abs=0.01)
    assert shown.cos().tolist() == pytest.approx([math.cos(3), math.cos(1)], abs=0.02)
    assert shown.sin().tolist() == pytest.approx([math.sin(3), math.sin(1)], abs=0.02)


def test_a_perfect_source_scores_perfectly() -> None:
    perfect = grid(objects=40, spread=0.0)
    metrics = identity_metrics(perfect)
    assert metrics["azimuth_spread_deg"] < 0.1
    assert metrics["azimuth_flips"] == 0
    assert metrics["identity_type"] == pytest.approx(1, abs=1e-4)
    assert metrics["identity_color"] == pytest.approx(1, abs=1e-4)
    assert metrics["identity_height"] < 0.5, "drawn anew for every view"


def test_intervals_surround_the_numbers() -> None:
    scores = identity_scores(grid())
    spread = scores["azimuth_spread_deg"]
    assert spread.low is not None
    assert spread.high is not None
    assert spread.low < spread.value < spread.high + 0.3
    assert spread.value == pytest.approx(5.7, abs=1)
    assert scores["identity_type"].count == 30


def test_measured_cameras_stand_where_the_objects_are_seen_from() -> None:
    cameras = measured_cameras(grid(spread=0.02))
    expected = torch.tensor([0.0, 90.0, 180.0, 270.0])
    off = (cameras.azimuth.rad2deg() - expected + 180).remainder(360) - 180
    assert off.abs().max() < 1.5
    assert cameras.elevation.tolist() == pytest.approx([0.2] * 4)
    # A car fills the frame from further away when it is seen from the side.
    assert cameras.distance[1] > cameras.distance[0]


def test_a_generator_whose_view_replaces_everything_has_no_content() -> None:
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
    )
    everything = ViewCodes(
        "tiny", layer_dims(generator.style_sizes, 6), tuple(ViewCode(i, 30.0 * i) for i in range(12))
    )
    regressor = PoseRegressor().eval()
    first, again = (predict_grid(generator, everything, regressor, objects=5, seed=2, batch=b) for b in (32, 32))
    assert torch.equal(first.azimuth, again.azimuth)
    metrics = identity_metrics(first)
    assert metrics["identity_color"] == pytest.approx(0.0, abs=1e-3)
    assert metrics["azimuth_spread_deg"] < 0.2


def test_the_car_world_is_measured_within_a_few_degrees() -> None:
    source, world = tiny_world(), CarWorldGenerator(64)
    found = predict_grid(world, source.codes, PoseRegressor.from_pretrained(), objects=3, seed=1, batch=36)
    views = view_styles(world, source.codes)
    true = torch.atan2(views[:, 0], views[:, 1])
    off = torch.remainder(measured_cameras(found).azimuth - true + torch.pi, 2 * torch.pi) - torch.pi
    assert off.abs().rad2deg().median() < 4
