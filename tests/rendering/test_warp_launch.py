"""How a batch is shared among threads."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ganverse.rendering import warp_backend, warp_launch
from ganverse.rendering.warp_launch import Buffers, worker_pool
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
    pool, begun, free = ThreadPoolExecutor(1), threading.Event(), threading.Event()
    monkeypatch.setattr(warp_launch, "worker_pool", lambda: pool)
    busy = pool.submit(lambda: (begun.set(), free.wait(60)))
    assert begun.wait(60)
    found = run(warp_backend, case, torch.float32)
    free.set()
    busy.result()
    assert all(a.equal(b) for a, b in zip(found, alone, strict=True))


def test_there_is_one_pool() -> None:
    assert worker_pool() is worker_pool()


def test_parts_cover_the_batch_and_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(batch: int) -> list[int]:
        work = Buffers(torch.zeros(batch, 1, 3, 2), torch.zeros(batch, 2, 5, dtype=torch.long))  # 20 places an image
        return [len(part.corners) for part in work.parts()]

    assert sizes(8) == [8]
    assert sizes(0) == []
    monkeypatch.setattr(warp_launch, "MOST_PLACES", 50)
    assert sizes(5) == [2, 2, 1]
    monkeypatch.setattr(warp_launch, "MOST_PLACES", 10)
    assert sizes(2) == [1, 1], "one image is never cut"
