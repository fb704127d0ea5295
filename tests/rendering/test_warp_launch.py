"""How a batch is shared among threads."""

import threading
from collections.abc import Iterator

import pytest
import torch

from ganverse.rendering import warp_backend, warp_launch
from ganverse.rendering.warp_launch import MOST_PLACES, parts
from ganverse.rendering.warp_threads import Team, team
from tests.rendering.agreement import Case, run
from tests.rendering.random_scenes import soup


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_thread_that_is_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(soup(40, batch=3), 16, 16)
    alone = run(warp_backend, case, torch.float32)
    crew, begun, free = Team(), threading.Event(), threading.Event()
    monkeypatch.setattr(warp_launch, "team", lambda: crew)
    (busy,) = crew.help(lambda: (begun.set(), free.wait(60)), 1)
    assert begun.wait(60)
    found = run(warp_backend, case, torch.float32)
    free.set()
    busy.finish()
    assert all(a.equal(b) for a, b in zip(found, alone, strict=True))


def test_work_that_nobody_began_is_not_begun_later() -> None:
    crew, begun, free, made = Team(), threading.Event(), threading.Event(), []
    (busy,) = crew.help(lambda: (begun.set(), free.wait(60)), 1)
    assert begun.wait(60)
    (late,) = crew.help(lambda: made.append(1), 1)
    late.finish()
    free.set()
    busy.finish()
    begun.clear()
    (last,) = crew.help(lambda: (made.append(2), begun.set()), 1)
    assert begun.wait(60)
    last.finish()
    assert made == [2]


def test_finishing_waits_for_work_that_has_begun() -> None:
    made, begun = [], threading.Event()

    def work() -> None:
        begun.set()
        threading.Event().wait(0.05)
        made.append(1)

    helpers = Team().help(work, 2)
    assert begun.wait(60)
    for helper in helpers:
        helper.finish()
    assert 1 <= len(made) <= 2


def test_there_is_one_team() -> None:
    assert team() is team()


def test_parts_cover_the_batch_and_can_be_counted() -> None:
    assert parts(8, 1000) == [slice(0, 8)]
    assert parts(0, 1000) == []
    halves = parts(5, MOST_PLACES // 2)
    assert halves == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert parts(2, 2 * MOST_PLACES) == [slice(0, 1), slice(1, 2)], "one image is never cut"
