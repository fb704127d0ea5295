from __future__ import annotations

from pathlib import Path

import pytest

from ganverse.training.progress import ImagesProgressBar
from tests.tasks.toys import trainer
from tests.training.lines import Line, Numbers


def last_line(capsys: pytest.CaptureFixture[str], name: str) -> str:
    shown = capsys.readouterr()
    return [part for part in (shown.out + shown.err).replace("\n", "\r").split("\r") if name in part][-1]


def test_progress_is_in_images_and_goes_on_where_it_stood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"limit_val_batches": 0, "enable_progress_bar": True}
    bar = ImagesProgressBar()
    first = trainer(tmp_path, max_steps=3, callbacks=[bar], **settings)
    first.fit(Line(images=40), Numbers())
    shown = last_line(capsys, "Line")
    assert "12.0/40.0" in shown
    assert "loss=" in shown
    assert "v_num" not in shown
    first.save_checkpoint(tmp_path / "last.ckpt")
    bar = ImagesProgressBar()
    second = trainer(tmp_path, max_steps=5, callbacks=[bar], **settings)
    second.fit(Line(images=40), Numbers(), ckpt_path=tmp_path / "last.ckpt")
    assert "20.0/40.0" in last_line(capsys, "Line")
    assert (bar.train_progress_bar.initial, bar.train_progress_bar.n) == (12, 20)
