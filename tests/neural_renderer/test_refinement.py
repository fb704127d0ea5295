import torch

from ganverse.neural_renderer.refinement import DescentSettings, project, refine, render_refined
from tests.neural_renderer.toys import VIEW_DIMS, toy_renderer, toy_scenes

FAST = DescentSettings(steps=80, rate=0.1, prior=0.0)


def test_refinement_reproduces_the_picture_and_leaves_the_view_alone() -> None:
    renderer, scenes = toy_renderer().requires_grad_(False), toy_scenes(3)
    styles = renderer.styles(scenes)
    moved = styles + 2 * torch.randn_like(styles) * renderer.content_dims
    pictures = renderer.generator.synthesize(moved)
    before = (renderer.render(scenes) - pictures).abs().mean()
    refined = refine(renderer, scenes, pictures, settings=FAST)
    assert (render_refined(renderer, refined) - pictures).abs().mean() < 0.3 * before
    assert refined.correction[:, VIEW_DIMS].abs().max() == 0
    assert not refined.correction.requires_grad


def test_edits_keep_the_correction() -> None:
    renderer, scenes = toy_renderer().requires_grad_(False), toy_scenes(2)
    refined = refine(renderer, scenes, torch.rand(2, 3, 16, 16), settings=DescentSettings(steps=5))
    index = torch.tensor([1, 0])
    edited = refined.edited(scenes.swapped(background=index))
    assert torch.equal(edited.correction, refined.correction)
    assert not torch.equal(render_refined(renderer, edited), render_refined(renderer, refined))


def test_without_steps_nothing_moves() -> None:
    renderer, scenes = toy_renderer().requires_grad_(False), toy_scenes(2)
    refined = refine(renderer, scenes, torch.rand(2, 3, 16, 16), settings=DescentSettings(steps=0))
    assert torch.equal(render_refined(renderer, refined), renderer.render(scenes))


def test_a_picture_does_not_depend_on_its_neighbors() -> None:
    renderer, scenes = toy_renderer().requires_grad_(False), toy_scenes(3)
    pictures, settings = torch.rand(3, 3, 16, 16), DescentSettings(steps=10)
    together = refine(renderer, scenes, pictures, settings=settings).correction
    alone = refine(renderer, scenes[1:2], pictures[1:2], settings=settings).correction
    assert torch.allclose(together[1:2], alone, atol=1e-4)


def test_projection_starts_at_the_mean_and_finds_the_picture() -> None:
    renderer = toy_renderer().requires_grad_(False)
    pictures = renderer.generator.synthesize(renderer.mean + 2 * torch.randn(2, 9))
    mean, deviation = renderer.mean, renderer.deviation
    none = project(renderer.generator, mean, deviation, pictures, settings=DescentSettings(steps=0))
    assert torch.equal(none, mean.expand(2, -1))
    found = project(renderer.generator, mean, deviation, pictures, settings=FAST)
    before = (renderer.generator.synthesize(none) - pictures).abs().mean()
    assert (renderer.generator.synthesize(found) - pictures).abs().mean() < 0.3 * before


def test_the_prior_keeps_near_the_start() -> None:
    renderer, scenes = toy_renderer().requires_grad_(False), toy_scenes(2)
    pictures = torch.rand(2, 3, 16, 16)
    free, held = (
        refine(renderer, scenes, pictures, settings=DescentSettings(steps=40, rate=0.1, prior=prior)).correction
        for prior in (0.0, 10.0)
    )
    assert held.square().mean() < 0.1 * free.square().mean()
