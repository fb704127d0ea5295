import math
from dataclasses import replace

import pytest
import torch

from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.losses import (
    color_distance,
    mapping_distance,
    shape_distance,
    silhouette_distance,
    texture_distance,
    view_distance,
)
from tests.neural_renderer.toys import toy_renderer, toy_scenes


def test_mapping_distance_is_a_root_mean_square_per_sample() -> None:
    predicted, target = torch.zeros(2, 4), torch.tensor([[3.0] * 4, [0.0, 0.0, 0.0, 2.0]])
    assert mapping_distance(predicted, target).tolist() == pytest.approx([3.0, 1.0])


def test_shape_distance_is_in_world_units() -> None:
    a = torch.zeros(2, 5, 3)
    b = a + torch.tensor([3.0, 4.0, 0.0])
    assert shape_distance(a, b).tolist() == pytest.approx([5.0, 5.0])


def test_distances_vanish_with_finite_gradients_when_equal() -> None:
    x = torch.rand(2, 5, 3, requires_grad=True)
    shape_distance(x, x.detach()).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    texture = torch.rand(2, 3, 4, 4)
    assert texture_distance(texture, texture).abs().max() == 0


def test_silhouette_distance() -> None:
    left, right = torch.zeros(2, 1, 1, 4, 4).unbind()
    left[..., :2], right[..., 2:] = 1, 1
    assert silhouette_distance(left, left).item() == pytest.approx(0)
    assert silhouette_distance(left, right).item() == pytest.approx(1)
    assert silhouette_distance(left, torch.ones_like(left)).item() == pytest.approx(0.5)
    assert torch.isfinite(silhouette_distance(left * 0, left * 0)).all()


def test_view_distance_is_the_angle_where_it_is_small_and_two_at_most() -> None:
    asked = Cameras.from_degrees([0.0, 10.0, 30.0], [0.0, 10.0, 0.0], [4.0, 3.0, 2.0])
    measured = Cameras.from_degrees([180.0, 10.0, 30.0], [0.0, 13.0, 0.0], [4.0, 5.0, 3.0])
    assert view_distance(asked, measured).tolist() == pytest.approx([2, math.radians(3), 0], abs=2e-4)
    azimuth = asked.azimuth.clone().requires_grad_()
    view_distance(replace(asked, azimuth=azimuth), asked).sum().backward()
    assert torch.isfinite(azimuth.grad).all()


def test_color_distance_looks_inside_the_mask_only() -> None:
    image, other, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    other[..., 0], mask[..., 0] = 0.5, 1
    assert color_distance(image, other, mask).item() == pytest.approx(0.5)
    assert color_distance(image, other, torch.roll(mask, 1, dims=-1)).item() == 0
    assert color_distance(image, other, mask * 0).item() == 0


def test_the_mapping_loss_falls_and_view_dims_follow_the_camera() -> None:
    """Stage 1 in miniature: styles that are functions of camera, shape, texture and background are found again."""
    renderer, scenes = toy_renderer(), toy_scenes(48)
    content = torch.stack([scenes.vertices[:, 0, 0], scenes.vertices[:, 1, 1], scenes.texture.mean(dim=(1, 2, 3))], 1)
    content = torch.cat([content, scenes.background[:, :, :4, :4].mean(dim=(2, 3)), content[:, :1]], dim=1)
    view = torch.stack([scenes.cameras.azimuth.sin(), scenes.cameras.azimuth.cos()], dim=1)
    target = torch.cat([view, content], dim=1)[:, renderer.order]
    renderer.calibrate(target, scenes.cameras, scenes.vertices)
    goal = renderer.standardize(target)
    mapping = [*renderer.camera_mapping.parameters(), *renderer.content_mapping_parameters()]
    optimizer = torch.optim.Adam([*mapping, renderer.fusion.logits], lr=5e-3)
    losses = []
    for _ in range(120):
        styles = renderer.styles(scenes.cameras, scenes.vertices, scenes.texture, scenes.background)
        loss = mapping_distance(renderer.standardize(styles), goal).mean() + 0.05 * renderer.fusion.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    renderer_view = renderer.standardize(styles)[:, [0, 3]]
    assert (renderer_view - goal[:, [0, 3]]).square().mean() < 0.1
