import time

import pytest

from benchmarks.threads import main, rounds_in


def test_a_short_run_prints_a_speed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sizes", "8", "--threads", "2", "--batch", "2", "--seconds", "0.01"])[0] > 0
    assert "times as fast with 2" in capsys.readouterr().out


def test_batches_are_counted_until_the_end() -> None:
    assert rounds_in(0.0, size=8, batch=1) == 0
    assert rounds_in(time.time() + 0.2, size=8, batch=1) > 0
