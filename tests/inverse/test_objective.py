from __future__ import annotations

from dataclasses import astuple, replace

import pytest
import torch

from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.objective import PerceptualPlan, SilhouetteSchedule, inverse_step
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.rendering import SoftMaskSettings
from tests.inverse.tiny import TINY, tiny_batch, tiny_table


@pytest.fixture
def network():
    return InverseGraphicsNetwork(TINY)


def run(network, batch, **options):
    table = options.pop("table", None) or tiny_table()
    return inverse_step(network, table, batch.images, batch.masks, batch.view_ids, backend="reference", **options)


def test_pairs_are_predicted_from_and_seen_as(network):
    batch = tiny_batch(objects=2, views=3)
    result = run(network, batch)
    assert result.losses.color.shape == (2, 3, 3)
    rows = result.targets.view(2, 3, 3, 3, 32, 32)
    for predicted_from in range(3):
        torch.testing.assert_close(rows[:, predicted_from], batch.images)
    # The start ellipsoid is the same whatever was shown, so silhouettes depend on the rendered view alone.
    silhouette = result.losses.silhouette
    torch.testing.assert_close(silhouette[:, 0], silhouette[:, 2])
    assert (silhouette[:, :, 0] - silhouette[:, :, 1]).abs().max() > 1e-3


def test_gradients_reach_network_and_cameras(network):
    table = tiny_table(elevation=0.0)
    result = run(network, tiny_batch(), table=table, silhouette=SoftMaskSettings(3000.0, 0.1, 30))
    (result.losses.silhouette.mean() + result.losses.color.mean()).backward()
    for parameter in (table.azimuth, table.elevation, table.log_distance, table.offset):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert network.mean_shape.grad.abs().max() > 0
    assert network.encoder.stem.weight.grad.abs().max() > 0


def test_true_cameras_fit_better_than_wrong_ones(network):
    batch = tiny_batch()
    with torch.no_grad():
        right = run(network, batch).losses.silhouette.mean()
        wrong = run(network, batch, table=tiny_table(elevation=60.0)).losses.silhouette.mean()
    assert right < wrong


def test_perceptual_distance_looks_at_the_planned_renders_only():
    network = InverseGraphicsNetwork(TINY)
    plan = PerceptualPlan(PerceptualDistance(stages=1), renders=3, seed=5, samples=torch.arange(3))
    assert plan.indices(12).tolist() == plan.indices(12).tolist()
    assert len(set(plan.indices(12).tolist())) == 3
    assert plan.indices(12).tolist() != replace(plan, seed=6).indices(12).tolist()
    parts = [replace(plan, samples=plan.samples[rows], renders=1).indices(4) for rows in ([0], [1], [2])]
    assert plan.indices(12).tolist() == [4 * k + int(part) for k, part in enumerate(parts)], "however they are split"
    loss = run(network, tiny_batch(), perceptual=plan).losses.perceptual
    assert loss > 0
    loss.backward()
    assert network.texture.decoder.bias.grad.abs().max() > 0


def test_silhouette_schedule_ends_sharp_and_stays():
    schedule = SilhouetteSchedule(fraction=0.5)
    assert schedule.at(0, 1000) == schedule.start
    assert schedule.at(2000, 1000) == schedule.at(500, 1000)
    assert astuple(schedule.at(500, 1000)) == pytest.approx(astuple(schedule.end))
    middle = schedule.at(250, 1000)
    assert middle.sigmainv == pytest.approx((5000 * 250000) ** 0.5)
    assert middle.boxlen == pytest.approx(0.04)
