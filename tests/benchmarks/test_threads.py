import pytest

from benchmarks.threads import main


def test_a_short_run_prints_a_speed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sizes", "8", "--threads", "2", "--batch", "2", "--seconds", "0.01"])[0] > 0
    assert "times as fast with 2" in capsys.readouterr().out
