import math
from dataclasses import replace

import pytest
import torch

from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.objective import shape_distance, style_distance, view_distance
from tests.neural_renderer.toys import toy_renderer, toy_scenes


def test_style_distance_is_a_root_mean_square_per_sample() -> None:
    predicted, target = torch.zeros(2, 4), torch.tensor([[3.0] * 4, [0.0, 0.0, 0.0, 2.0]])
    assert style_distance(predicted, target).tolist() == pytest.approx([3.0, 1.0])


def test_shape_distance_is_in_world_units() -> None:
    a = torch.zeros(2, 5, 3)
    b = a + torch.tensor([3.0, 4.0, 0.0])
    assert shape_distance(a, b).tolist() == pytest.approx([5.0, 5.0])


def test_distances_vanish_with_finite_gradients_when_equal() -> None:
    x = torch.rand(2, 5, 3, requires_grad=True)
    shape_distance(x, x.detach()).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_view_distance_is_the_angle_where_it_is_small_and_two_at_most() -> None:
    target = Cameras.from_degrees([0.0, 10.0, 30.0], [0.0, 10.0, 0.0], [4.0, 3.0, 2.0])
    predicted = Cameras.from_degrees([180.0, 10.0, 30.0], [0.0, 13.0, 0.0], [4.0, 5.0, 3.0])
    assert view_distance(target, predicted).tolist() == pytest.approx([2, math.radians(3), 0], abs=2e-4)
    azimuth = target.azimuth.clone().requires_grad_()
    view_distance(replace(target, azimuth=azimuth), target).sum().backward()
    assert torch.isfinite(azimuth.grad).all()


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
        loss = style_distance(renderer.standardize(styles), goal).mean() + 0.05 * renderer.fusion.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    renderer_view = renderer.standardize(styles)[:, [0, 3]]
    assert (renderer_view - goal[:, [0, 3]]).square().mean() < 0.1
