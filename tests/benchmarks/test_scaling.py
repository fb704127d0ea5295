from __future__ import annotations

import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from benchmarks import scaling
from benchmarks.scaling import WARM_UP, Scaling, main, rounds


def worker(name: str, steps: list[str]) -> Connection:
    """Stands in for a process; notes when a step begins and ends."""
    here, there = Pipe()

    def work() -> None:
        while there.recv() == "go":
            steps.append(f"{name} begins")
            steps.append(f"{name} ends")
            there.send("done")

    threading.Thread(target=work, daemon=True).start()
    return here


def test_both_sides_take_turns_and_begin_in_turns() -> None:
    steps: list[str] = []
    one, two = [worker("one", steps)], [worker("a", steps), worker("b", steps)]
    times = rounds(one, two, 0.0)
    for line in (*one, *two):
        line.send("stop")
    assert len(times) == 3
    assert all(first > 0 and second > 0 for first, second in times)
    parts = [steps[start : start + 6] for start in range(0, len(steps), 6)]
    assert len(parts) == WARM_UP + 3, "every process makes one step a round"
    alone = ["one begins", "one ends"]
    assert [part[:2] == alone for part in parts] == [True, False] * 2 + [True]
    assert [part[4:] == alone for part in parts] == [False, True] * 2 + [False]


def test_a_process_that_ends_or_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Pipe()
    monkeypatch.setattr(scaling, "PATIENCE", 0.01)
    with pytest.raises(SystemExit, match=r"no step in 0\.01 s"):
        scaling.answer(here)
    there.close()
    with pytest.raises(SystemExit, match="has ended"):
        scaling.answer(here)


def test_ratio_and_its_spread_are_those_of_the_rounds() -> None:
    result = Scaling.of("gan", 16, [(2.0, 2.0), (2.0, 1.0), (4.0, 8.0), (2.0, 2.5), (1.0, 0.5)])
    assert (result.threads, result.processes) == (8.0, 8.0)
    assert (result.low, result.ratio, result.high) == (0.8, 1.0, 2.0)
    assert str(result).endswith("8.0 with two processes, ratio 1.00 (0.80 .. 2.00, 5 rounds)")


def test_a_stage_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Three processes of the shipped inverse network take turns for a few steps."""
    (found,) = main(["inverse", "--objects", "4", "--seconds", "0"])
    assert (found.stage, found.rounds) == ("inverse", 3)
    assert found.threads > 0
    assert found.low <= found.ratio <= found.high
    assert "with two processes, ratio" in capsys.readouterr().out
