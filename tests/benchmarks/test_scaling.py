from __future__ import annotations

import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from benchmarks.scaling import Scaling, _rounds


def worker(seconds: float) -> Connection:
    """Stands in for a process whose step takes so long."""
    here, there = Pipe()

    def steps() -> None:
        there.send("done")
        while there.recv() == "go":
            time.sleep(seconds)
            there.send("done")

    threading.Thread(target=steps, daemon=True).start()
    return here


def test_both_sides_take_turns_and_the_slower_process_counts() -> None:
    one, two = [worker(0.02)], [worker(0.005), worker(0.04)]
    times = _rounds(one, two, 0.0)
    for line in (*one, *two):
        line.send("stop")
    assert len(times) == 3, "the first round warms up"
    assert all(0.02 <= first < 0.2 and 0.04 <= second < 0.4 for first, second in times)


def test_ratio() -> None:
    assert Scaling("gan", threads=8.0, processes=7.6, rounds=3).ratio == pytest.approx(0.95)
