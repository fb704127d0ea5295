"""The lock of a run directory, on file systems with and without locks of their own."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest

from ganverse.errors import GanverseError
from ganverse.training import run_lock as module
from ganverse.training.run_lock import LOCK, run_lock


def test_the_second_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with run_lock(folder):
        with pytest.raises(GanverseError, match=f"process {os.getpid()} on "), run_lock(folder):
            pass
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert list(folder.iterdir()) == []
    with run_lock(folder):
        pass


def test_other_processes_of_a_run_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_lock(tmp_path):
        monkeypatch.setattr(module, "is_first_process", lambda: False)
        with run_lock(tmp_path):
            pass


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_locks_a_file_says_who_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's file stays; one of a process that is gone from this machine is taken over."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_lock(tmp_path):
        own = (tmp_path / LOCK).read_text()
        with pytest.raises(GanverseError, match="is running there"), run_lock(tmp_path):
            pass
    (tmp_path / LOCK).write_text("7\nanother-machine\n")
    with pytest.raises(GanverseError, match="process 7 on another-machine is running there"), run_lock(tmp_path):
        pass
    (tmp_path / LOCK).write_text(own.replace(str(os.getpid()), str(2**22 - 3)))
    with run_lock(tmp_path):
        pass


def test_a_lock_left_behind_on_another_machine_is_taken_over_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after SIGKILL, when SLURM starts the job again elsewhere; a file of this machine is nothing to talk about."""
    for machine, words in ((socket.gethostname(), 0), ("another-machine", 1)):
        (tmp_path / LOCK).write_text(f"7\n{machine}\n")
        caplog.clear()
        with run_lock(tmp_path):
            assert (tmp_path / LOCK).read_text().split() == [str(os.getpid()), socket.gethostname()]
        assert len(caplog.messages) == words
    assert "left by process 7 on another-machine" in caplog.messages[0]


def test_a_file_system_that_refuses_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS without its lock daemon."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(GanverseError, match=r"a file system with locks at .*: No locks available"), run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
