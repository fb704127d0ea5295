from dataclasses import replace

import torch

from ganverse.neural_renderer.backgrounds import seen_behind
from ganverse.neural_renderer.training_scenes import Lesson, read_lesson
from tests.tasks.test_disentangle import make_batch, make_task


def make_lesson(*, fill: bool = True) -> Lesson:
    task = make_task()
    return read_lesson(make_batch(task), task.teachers, views=1, grow=1, fill=fill)


def test_the_composite_is_the_object_on_the_background_asked_for() -> None:
    lesson = make_lesson()
    masks = torch.zeros_like(lesson.masks)
    masks[..., 4:12, 4:12] = 1
    composite = replace(lesson, masks=masks).composite()
    assert torch.equal(composite[..., 4:12, 4:12], lesson.images[..., 4:12, 4:12])
    assert torch.equal(composite[..., :4, :], lesson.scenes.background[..., :4, :])


def test_a_black_hole_is_for_the_eyes_of_the_mapping_only() -> None:
    black, filled = make_lesson(fill=False), make_lesson()
    assert torch.equal(black.behind, filled.behind)
    assert torch.equal(black.scenes.background, black.behind * black.visible)
    assert torch.equal(filled.scenes.background, filled.behind)


def test_the_texture_may_be_that_of_the_answer() -> None:
    task = make_task()
    batch = make_batch(task)
    lessons = [read_lesson(batch, task.teachers, views=1, own_texture=own) for own in (False, True)]
    for lesson, view in zip(lessons, (0, 1), strict=True):
        expected = task.teachers.inverse(batch.images[:, view]).texture
        assert torch.allclose(lesson.scenes.texture, expected, atol=1e-6)
    assert torch.equal(lessons[0].scenes.vertices, lessons[1].scenes.vertices)


def test_visible_is_what_the_lender_of_the_background_showed() -> None:
    task = make_task()
    batch = make_batch(task)
    lesson = read_lesson(batch, task.teachers, grow=1)
    assert torch.equal(lesson.visible[:4], seen_behind(batch.masks[:, 0], grow=1))
    assert torch.equal(lesson.masks[:4], batch.masks[:, 1])
