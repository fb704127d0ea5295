import math

import pytest
import torch

from ganverse.evaluation.gan_identity import (
    GridReadings,
    consensus,
    explained_shares,
    gan_identity_metrics,
    identity_metrics,
)
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims


def test_shares_of_a_known_mixture() -> None:
    by_object, by_view = torch.randn(400, 1, 2), torch.randn(1, 300, 2)
    values = 2 * by_object + by_view + torch.randn(400, 300, 2)
    content, view = explained_shares(values)
    assert content == pytest.approx(4 / 6, abs=0.08)
    assert view == pytest.approx(1 / 6, abs=0.04)
    assert explained_shares(by_object.expand(-1, 300, -1)) == pytest.approx((1.0, 0.0), abs=1e-4)


def test_flips_are_counted_and_do_not_widen_the_spread() -> None:
    torch.manual_seed(0)
    azimuth = torch.tensor([3.0, 1.0])[:, None] + 0.1 * torch.randn(2, 500)
    azimuth[0, :100] += math.pi
    shown, spread, flips = consensus(azimuth)
    assert flips.tolist() == pytest.approx([0.2, 0.0])
    assert spread.tolist() == pytest.approx([0.1, 0.1], abs=0.01)
    assert shown.cos().tolist() == pytest.approx([math.cos(3), math.cos(1)], abs=0.02)
    assert shown.sin().tolist() == pytest.approx([math.sin(3), math.sin(1)], abs=0.02)


def test_a_perfect_source_scores_perfectly() -> None:
    codes = ViewCodes("perfect", (0,), tuple(ViewCode(i, 30.0 * i) for i in range(12)))
    objects = 40
    azimuth = codes.azimuth_degrees.deg2rad().expand(objects, -1)
    kind = torch.eye(6)[torch.arange(objects) % 6][:, None].expand(-1, 12, -1)
    color = torch.rand(objects, 1, 3).expand(-1, 12, -1)
    height = torch.rand(objects, 1).expand(-1, 12)
    metrics = identity_metrics(GridReadings(azimuth, azimuth * 0, height, kind, color), codes)
    assert metrics.azimuth_spread_deg < 0.1
    assert metrics.azimuth_flips == 0
    assert metrics.annotation_deg < 0.1
    shares = (metrics.identity_height, metrics.identity_type, metrics.identity_color)
    assert shares == pytest.approx((1, 1, 1), abs=1e-4)
    assert (metrics.view_height, metrics.view_type, metrics.view_color) == pytest.approx((0, 0, 0), abs=1e-4)


def test_measuring_a_generator_is_deterministic_and_tells_its_view_from_its_content() -> None:
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
    )
    everything = ViewCodes(
        "tiny", layer_dims(generator.style_sizes, 6), tuple(ViewCode(i, 30.0 * i) for i in range(12))
    )
    regressor = PoseRegressor().eval()
    metrics = gan_identity_metrics(generator, everything, regressor, objects=5)
    assert metrics == gan_identity_metrics(generator, everything, regressor, objects=5)
    # With every style dimension replaced by the view there is nothing left of the content.
    assert metrics.view_color == pytest.approx(1.0, abs=1e-3)
    assert metrics.identity_color == pytest.approx(0.0, abs=1e-3)
    assert metrics.azimuth_spread_deg < 0.2
