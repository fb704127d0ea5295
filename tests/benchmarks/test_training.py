import json
from pathlib import Path

import pytest

from benchmarks.training import StepTimes, main
from tests import pipeline_toys as toys


def test_shares() -> None:
    times = StepTimes(step=80.0, render=10.0, stream=20.0, gan=16.0, masks=3.0)
    assert times.renderer_share == pytest.approx(0.1)
    assert times.streaming_overhead == pytest.approx(1 / 16)


def test_a_small_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = toys.command("InverseGraphics", tmp_path / "run", toys.save_gan(tmp_path))[1:]
    found = main(["--rounds", "1", "--json", str(tmp_path / "times.json"), *settings])
    assert found.step > 0
    assert 0 < found.render < found.step + found.stream
    assert found.gan > 0
    stored = json.loads((tmp_path / "times.json").read_text())
    assert stored["renderer_share"] == pytest.approx(found.renderer_share)
    printed = capsys.readouterr().out
    assert "of a step (aim: at most 15%)" in printed
    assert not (tmp_path / "run").exists()
