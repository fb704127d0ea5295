from dataclasses import replace

import torch

from ganverse.neural_renderer.backgrounds import background_mask
from ganverse.neural_renderer.training_scenes import TrainingScene, read_training_scene
from tests.tasks.test_disentangle import make_batch, make_task


def make_scene(*, fill: bool = True) -> TrainingScene:
    task = make_task()
    return read_training_scene(make_batch(task), task.networks, views=1, grow=1, fill=fill)


def test_the_composite_is_the_object_on_the_background_of_the_inputs() -> None:
    scene = make_scene()
    masks = torch.zeros_like(scene.masks)
    masks[..., 4:12, 4:12] = 1
    composite = replace(scene, masks=masks).composite()
    assert torch.equal(composite[..., 4:12, 4:12], scene.images[..., 4:12, 4:12])
    assert torch.equal(composite[..., :4, :], scene.inputs.background[..., :4, :])


def test_a_black_hole_is_among_the_inputs_only() -> None:
    black, filled = make_scene(fill=False), make_scene()
    assert torch.equal(black.background, filled.background)
    assert torch.equal(black.inputs.background, black.background * black.visible)
    assert torch.equal(filled.inputs.background, filled.background)


def test_the_texture_may_be_that_of_the_target() -> None:
    task = make_task()
    batch = make_batch(task)
    scenes = [read_training_scene(batch, task.networks, views=1, own_texture=own) for own in (False, True)]
    for scene, view in zip(scenes, (0, 1), strict=True):
        expected = task.networks.inverse(batch.images[:, view]).texture
        assert torch.allclose(scene.inputs.texture, expected, atol=1e-6)
    assert torch.equal(scenes[0].inputs.vertices, scenes[1].inputs.vertices)


def test_visible_is_what_the_lender_of_the_background_showed() -> None:
    task = make_task()
    batch = make_batch(task)
    scene = read_training_scene(batch, task.networks, grow=1)
    assert torch.equal(scene.visible[:4], background_mask(batch.masks[:, 0], grow=1))
    assert torch.equal(scene.masks[:4], batch.masks[:, 1])
