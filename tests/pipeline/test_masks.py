from pathlib import Path

import pytest

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.masks.segmenter import CAR_WEIGHTS
from ganverse.pipeline.sources import DataSettings, segmenter_path
from tests import pipeline_toys


def test_nothing_is_learned_before_something_is_painted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    assert cli.main(["masks", str(generator), "--pictures", "3"]) == 0
    assert sorted(path.name for path in (tmp_path / "toy-masks").iterdir()) == ["000.png", "001.png", "002.png"]
    assert "000-mask.png" in capsys.readouterr().err
    assert cli.main(["masks", str(generator), "--labelled", "1"]) == cli.BAD_INPUT
    assert "--labelled of 2" in capsys.readouterr().err


def test_the_segmenter_beside_the_generator_is_taken(tmp_path: Path) -> None:
    generator = pipeline_toys.save_gan(tmp_path)
    assert segmenter_path(DataSettings(generator=str(generator))) == CAR_WEIGHTS
    other = DataSettings(generator=str(generator), category="other")
    with pytest.raises(GanverseError, match="ganverse masks"):
        segmenter_path(other)
    beside = tmp_path / "toy-segmenter.safetensors"
    beside.touch()
    assert segmenter_path(other) == beside
    assert segmenter_path(DataSettings(segmenter=CAR_WEIGHTS, generator=str(generator), category="bird")) == CAR_WEIGHTS
