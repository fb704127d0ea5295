from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ganverse.geometry.cameras import Cameras
from ganverse.inverse.losses import (
    InverseLosses,
    InverseLossWeights,
    camera_loss,
    chroma_error,
    color_loss,
    pair_weights,
    silhouette_iou,
    silhouette_loss,
)


def zero_losses(batch: int = 2, views: int = 2) -> InverseLosses:
    pairs, each = torch.zeros(batch, views, views), torch.zeros(batch, views)
    return InverseLosses(pairs, pairs, torch.zeros(()), each, each, each, each)


@pytest.mark.parametrize(
    ("term", "weight"),
    [
        ("color", 20.0),
        ("perceptual", 3.0),
        ("silhouette", 3.0),
        ("flatten", 5.0),
        ("laplacian", 5.0),
        ("move", 2.5),
    ],
)
def test_every_term_enters_the_sum_as_a_mean_with_its_weight(term, weight):
    losses = zero_losses()
    losses = replace(losses, **{term: torch.ones_like(getattr(losses, term))})
    assert losses.total(InverseLossWeights()).item() == pytest.approx(weight)


def test_own_and_other_views_can_be_balanced():
    weights = InverseLossWeights(own_view=1.0, other_view=3.0)
    shares = pair_weights(2, weights)
    torch.testing.assert_close(shares, torch.tensor([[1.0, 3.0], [3.0, 1.0]]) / 8)
    own_only = replace(zero_losses(), color=torch.eye(2).expand(2, 2, 2))
    assert own_only.total(weights).item() == pytest.approx(20.0 / 4)
    assert pair_weights(1, InverseLossWeights(other_view=0.0)).item() == 1


def test_color_is_a_mean_inside_the_mask():
    target, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    rgb = torch.full_like(target, 0.25)
    rgb[..., 2:] = 9.0
    assert color_loss(rgb, target, mask).item() == pytest.approx(0.25)
    assert color_loss(rgb, target, torch.zeros_like(mask)).item() == 0


def test_silhouette_of_known_overlap():
    alpha, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    alpha[..., :2], mask[..., 1:3] = 1, 1
    assert silhouette_iou(alpha, mask).item() == pytest.approx(1 / 3)
    assert silhouette_loss(alpha, mask).item() == pytest.approx(2 / 3)
    assert silhouette_loss(mask, mask).item() == pytest.approx(0)


def test_chroma_error_ignores_brightness_and_sees_hue():
    red = torch.tensor([0.6, 0.2, 0.1]).view(1, 3, 1, 1).expand(-1, -1, 4, 4)
    mask = torch.ones(1, 1, 4, 4)
    assert chroma_error(red + 0.2, red, mask).item() == pytest.approx(0, abs=1e-6)
    assert chroma_error(red.flip(1), red, mask).item() > 0.2
    assert chroma_error(torch.zeros_like(red), red, mask).item() == pytest.approx(0.2)


def test_camera_loss_adds_direction_log_distance_and_image_shift():
    """Each of the three known by itself: the chord of 40 degrees, a distance twice as long, a shift of (0.3, -0.4)."""
    table = Cameras.from_degrees([10.0] * 4, [0.0] * 4, [3.0] * 4)
    predicted = Cameras(
        table.azimuth + torch.tensor([40.0, 0.0, 0.0, 40.0]).deg2rad(),
        table.elevation,
        table.distance * torch.tensor([1.0, 2.0, 1.0, 2.0]),
        torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.3, -0.4], [0.3, -0.4]]),
    )
    chord, stretch, shift = 2 - 2 * math.cos(math.radians(40)), math.log(2) ** 2, 0.25
    assert camera_loss(predicted, table).tolist() == pytest.approx([chord, stretch, shift, chord + stretch + shift])


def test_camera_loss_is_periodic_and_leaves_the_table_alone():
    def cameras(azimuth: list[float], grad: bool = False) -> Cameras:
        made = Cameras.from_degrees(azimuth, [5.0] * len(azimuth), [4.0] * len(azimuth))
        return replace(made, azimuth=made.azimuth.requires_grad_()) if grad else made

    wrapped = camera_loss(cameras([359.0]), cameras([-1.0]))
    assert wrapped.item() == pytest.approx(0, abs=1e-6)
    predicted, table = cameras([10.0], grad=True), cameras([40.0], grad=True)
    loss = camera_loss(predicted, table)
    loss.sum().backward()
    assert loss.item() > 0.1
    assert predicted.azimuth.grad is not None
    assert predicted.azimuth.grad.item() < 0
    assert table.azimuth.grad is None
