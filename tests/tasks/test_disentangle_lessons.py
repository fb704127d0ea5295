from dataclasses import replace

import torch

from ganverse.neural_renderer.backgrounds import seen_behind
from ganverse.tasks.disentangle_lessons import Lesson, exchange, read_lesson
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


def test_visible_is_what_the_lender_of_the_background_showed() -> None:
    task = make_task()
    batch = make_batch(task)
    lesson = read_lesson(batch, task.teachers, grow=1)
    assert torch.equal(lesson.visible[:4], seen_behind(batch.masks[:, 0], grow=1))
    assert torch.equal(lesson.masks[:4], batch.masks[:, 1])


def test_exchanges_are_a_pure_function_of_their_source() -> None:
    lesson, table = make_lesson(), make_task().teachers.cameras.all()
    scenes = lesson.scenes
    a, b, c = (exchange(lesson, table, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(a.scenes.cameras.azimuth, b.scenes.cameras.azimuth)
    assert torch.equal(a.scenes.vertices, b.scenes.vertices)
    assert not torch.equal(a.scenes.cameras.azimuth, c.scenes.cameras.azimuth)
    assert not torch.equal(a.scenes.vertices, scenes.vertices)
    assert not torch.equal(a.scenes.texture, scenes.texture)
    assert torch.equal(a.scenes.cameras.azimuth[:2], scenes.cameras.azimuth[:2])
    assert not torch.isclose(a.scenes.cameras.azimuth[2:], scenes.cameras.azimuth[2:]).any()


def test_half_the_backgrounds_stay_and_half_are_mirrored() -> None:
    lesson = make_lesson()
    found = exchange(lesson, make_task().teachers.cameras.all(), torch.Generator().manual_seed(0))
    assert torch.equal(found.scenes.background[:2], lesson.scenes.background[:2])
    assert torch.equal(found.scenes.background[2:], lesson.scenes.background[2:].flip(-1))
    assert torch.equal(found.visible[2:], lesson.visible[2:].flip(-1))
    assert torch.equal(found.behind, found.scenes.background)
