"""Checkpoints that survive: damage, a full disk, other stages and other teachers."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from tests.tasks.test_training import SETTINGS, Line, Numbers, run

from ganverse.errors import GanverseError
from ganverse.training.checkpoints import LAST, PREVIOUS, check_identity, last_checkpoint
from ganverse.training.fit import fit


def seen(path: Path | None) -> int:
    assert path is not None
    return int(torch.load(path, weights_only=True)["state_dict"]["images_seen"])


def trained(folder: Path) -> Path:
    """Two checkpoints, of 8 and 16 images."""
    for images in (8, 16):
        assert fit(Line(), Numbers(), run(folder, images, teachers={"generator": "abc"}), SETTINGS)
    return folder / "checkpoints"


def test_a_truncated_checkpoint_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = trained(tmp_path)
    assert (seen(last_checkpoint(folder)), seen(folder / PREVIOUS)) == (16, 8)
    assert "the one before" not in caplog.text
    data = (folder / LAST).read_bytes()
    for damaged in (data[: len(data) // 2], data[:200] + b"?" + data[201:], b""):
        (folder / LAST).write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ganverse"):
            assert seen(last_checkpoint(folder)) == 8
        assert "the one before" in caplog.text
    straight, again = Line(), Line()
    assert fit(again, Numbers(), run(tmp_path, 24, teachers={"generator": "abc"}), SETTINGS)
    assert fit(straight, Numbers(), run(tmp_path / "straight", 24), SETTINGS)
    assert torch.equal(again.slope.weight, straight.slope.weight)
    (folder / LAST).write_bytes(b"")
    (folder / PREVIOUS).write_bytes(b"")
    with pytest.raises(GanverseError, match="all are damaged"):
        last_checkpoint(folder)


def test_a_kill_between_the_two_renamings_loses_nothing(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    (folder / LAST).replace(folder / PREVIOUS)
    assert seen(last_checkpoint(folder)) == 16


def test_a_full_disk_leaves_the_old_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained(tmp_path)

    def full(self: pl.Trainer, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
    with pytest.raises(GanverseError, match="No space left on device; make room"):
        fit(Line(), Numbers(), run(tmp_path, 24, teachers={"generator": "abc"}), SETTINGS)
    assert sorted(path.name for path in folder.iterdir()) == [LAST, PREVIOUS]
    assert seen(last_checkpoint(folder)) == 16


def test_checkpoints_of_others_are_refused(tmp_path: Path) -> None:
    path = trained(tmp_path) / LAST
    check_identity(path, {"stage": "Line", "generator": "abc"})
    with pytest.raises(GanverseError, match=r"expected generator abc, .* got xyz"):
        check_identity(path, {"stage": "Line", "generator": "xyz"})
    with pytest.raises(GanverseError, match=r"expected stage Line, .* got Circle"):
        check_identity(path, {"stage": "Circle", "generator": "abc"})
    with pytest.raises(GanverseError, match="got none"):
        fit(Line(), Numbers(), run(tmp_path, 24), SETTINGS)
    stored = torch.load(path, weights_only=True)
    stored["callbacks"]["LastCheckpoint"]["version"] = 99
    torch.save(stored, path)
    with pytest.raises(GanverseError, match=r"version 2 .* got version 99"):
        check_identity(path, {"stage": "Line", "generator": "abc"})
    torch.save({"weights": 1}, path)
    with pytest.raises(GanverseError, match="something else"):
        check_identity(path, {})
