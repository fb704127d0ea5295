import math
from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.objective import (
    CycleResult,
    DisentangleWeights,
    cycle_terms,
    mapping_terms,
    shape_distance,
    style_distance,
    view_distance,
)
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import ProcessSlice, swap
from ganverse.neural_renderer.scenes import background_mask
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.neural_renderer.training_scenes import TrainingScene, read_training_scene
from ganverse.rendering import render
from tests.neural_renderer.toys import toy_batch, toy_networks, toy_renderer, toy_scenes, toy_trainee


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
        styles = renderer.styles(scenes)
        loss = style_distance(renderer.standardize(styles), goal).mean() + 0.05 * renderer.fusion.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    renderer_view = renderer.standardize(styles)[:, [0, 3]]
    assert (renderer_view - goal[:, [0, 3]]).square().mean() < 0.1


NETWORKS = toy_networks()


def trainee_and_scene() -> tuple[StyleGANR, TrainingScene]:
    renderer = toy_trainee(NETWORKS)
    return renderer, read_training_scene(toy_batch(renderer.generator, NETWORKS), NETWORKS, views=1)


def cycle(renderer: StyleGANR, scene: TrainingScene, weights: DisentangleWeights | None = None) -> CycleResult:
    chance = torch.rand(len(scene), 5, generator=torch.Generator().manual_seed(0))
    swapped = swap(scene, NETWORKS.cameras.all(), chance, ProcessSlice(len(scene)))
    return cycle_terms(renderer, NETWORKS, scene, swapped, weights or DisentangleWeights(), DisentangleSettings())


def test_every_term_is_named_like_its_weight_and_can_be_switched_off() -> None:
    renderer, scene = trainee_and_scene()
    terms = mapping_terms(renderer, scene) | cycle(renderer, scene).terms
    assert set(terms) == set(vars(DisentangleWeights()))
    assert all(torch.isfinite(value).all() for value in terms.values())
    off = DisentangleWeights(*[0.0] * len(terms))
    assert off.total(cycle(renderer, scene, off).terms) == 0
    assert set(cycle(renderer, scene, off).terms) == {"shape", "texture", "view"}, "which cost nothing"


def test_the_total_is_the_weighted_sum_of_means() -> None:
    terms = {"shape": torch.tensor([1.0, 3.0]), "entropy": torch.tensor([4.0, 8.0, 6.0])}
    assert DisentangleWeights(shape=2.0, entropy=0.5).total(terms).item() == pytest.approx(2 * 2 + 0.5 * 6)


def test_the_cycle_reaches_cameras_and_generator_and_no_frozen_network() -> None:
    renderer, scene = trainee_and_scene()
    terms = cycle(renderer, scene).terms
    for name in ("camera", "view", "shape", "texture", "background", "shared_background"):
        renderer.zero_grad()
        terms[name].mean().backward(retain_graph=True)
        assert renderer.camera_mapping.layers[0].weight.grad is not None, name
        assert renderer.generator.paint.weight.grad.abs().sum() > 0, name
    assert all(p.grad is None for network in NETWORKS.networks() for p in network.parameters())


def test_only_copies_under_the_same_camera_must_have_the_same_background() -> None:
    terms = cycle(*trainee_and_scene()).terms
    assert terms["shared_background"].bool().tolist() == [True, False, True, False]
    assert terms["background"].shape == (8,)


def test_backgrounds_are_learned_from_pixels_and_reach_the_view_dimensions() -> None:
    renderer, scene = trainee_and_scene()
    cycle(renderer, scene).terms["background_pixels"].mean().backward()
    head = renderer.background_mapping.view_head
    assert head is not None
    assert head[-1].weight.grad.abs().sum() > 0
    assert renderer.background_mapping.head[0].weight.grad.abs().sum() > 0


def test_rates_follow_the_two_stages() -> None:
    schedule = DisentangleSettings(warm_up_images=100, fine_tune_images=200)
    assert schedule.images == 300
    assert schedule.rates(0) == (schedule.mapping_rate, schedule.mapping_rate, schedule.fusion_rate, 0.0, 0.0)
    assert schedule.rates(99)[1] < 0.01 * schedule.mapping_rate
    start = schedule.rates(100)
    assert start[0] == 0, "g_v rests"
    assert replace(schedule, camera_factor=0.5).rates(100)[0] == pytest.approx(0.5 * schedule.mapping_rate)
    assert start[1] == pytest.approx(schedule.fine_tune_factor * schedule.mapping_rate)
    assert start[4] == schedule.synthesis_rate
    assert schedule.rates(300)[4] == pytest.approx(0)
    assert replace(schedule, warm_up_images=0).rates(0)[4] == schedule.synthesis_rate
    for begun, halfway in ((0, 50), (100, 200)):
        assert schedule.rates(halfway)[:2] == pytest.approx([rate / 2 for rate in schedule.rates(begun)[:2]])
    assert replace(schedule, camera_factor=0.5).rates(200)[0] == pytest.approx(0.25 * schedule.mapping_rate)
    assert schedule.rates(200)[3:] == pytest.approx((schedule.mapping_rate / 2, schedule.synthesis_rate / 2))
    steady = replace(schedule, decay=False)
    assert steady.rates(99) == schedule.rates(0)
    assert steady.rates(299) == schedule.rates(100)
    with pytest.raises(GanverseError, match="keep_spread"):
        replace(schedule, keep_spread=1.5)


def test_terms_compare_the_images_with_what_was_asked_for() -> None:
    """Each term again, from the images of the same scenes, sums in place of the package's own functions."""
    renderer, scene = trainee_and_scene()
    chance = torch.rand(len(scene), 5, generator=torch.Generator().manual_seed(0))
    swapped = swap(scene, NETWORKS.cameras.all(), chance, ProcessSlice(len(scene)))
    found = cycle(renderer, scene)
    with torch.no_grad():
        scenes = scene.inputs.joined(swapped.scenes)
        images = renderer.framing.apply(renderer.render(scenes))
        masks = NETWORKS.segmenter.probability(images)
        drawn = render(
            NETWORKS.inverse.template.with_vertices(scenes.vertices), scenes.texture, scenes.cameras, size=16
        )
        background = torch.cat([scene.background, swapped.background])
        visible = torch.cat([scene.visible, swapped.visible]) * background_mask(masks)
        inside = (drawn.face_index >= 0)[:, None] * masks
        gap = renderer.standardize(renderer.styles(scene.inputs)) - renderer.standardize(scene.styles)
    expected = {
        "texture": (scenes.texture - NETWORKS.inverse(images).texture).abs().mean(dim=(1, 2, 3)),
        "distill_l1": (images[: len(scene)] - scene.composite()).abs().mean(dim=(1, 2, 3)),
        "background_pixels": _inside(images - background, visible),
        "appearance": _inside(images - drawn.rgb, inside),
        "anchor": gap.square().mean(dim=1).sqrt(),
    }
    torch.testing.assert_close(found.masks, masks)
    for name, values in expected.items():
        torch.testing.assert_close(found.terms[name], values, rtol=1e-3, atol=1e-5, msg=name)
    images_only = cycle(renderer, scene, DisentangleWeights(background_pixels=0.0)).terms["distill_l1"]
    torch.testing.assert_close(images_only, (images[: len(scene)] - scene.images).abs().mean(dim=(1, 2, 3)))


def _inside(difference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (difference.abs().mean(dim=1) * mask[:, 0]).sum(dim=(1, 2)) / mask.sum(dim=(1, 2, 3))
