"""How a batch is shared among threads."""

import os
import threading

import torch

from ganverse.rendering import warp_backend
from ganverse.rendering.warp_launch import MOST_PLACES, _pool, parts
from tests.rendering.agreement import Case, run
from tests.rendering.random_scenes import soup


def test_a_thread_that_is_late_is_not_waited_for() -> None:
    case = Case(soup(40, batch=3), 16, 16)
    alone = run(warp_backend, case, torch.float32)
    before, free = torch.get_num_threads(), threading.Event()
    torch.set_num_threads(2)
    busy = _pool(os.getpid(), 1).submit(free.wait, 60)
    try:
        found = run(warp_backend, case, torch.float32)
        assert not busy.done()
    finally:
        free.set()
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(found, alone, strict=True))


def test_parts_cover_the_batch_and_can_be_counted() -> None:
    assert parts(8, 1000) == [slice(0, 8)]
    assert parts(0, 1000) == []
    halves = parts(5, MOST_PLACES // 2)
    assert halves == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert parts(2, 2 * MOST_PLACES) == [slice(0, 1), slice(1, 2)], "one image is never cut"
