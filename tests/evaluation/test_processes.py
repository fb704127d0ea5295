import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.evaluation import processes
from ganverse.evaluation.processes import own_batches, rank_and_processes


def test_one_process_has_everything() -> None:
    assert rank_and_processes() == (0, 1)
    batches = list(own_batches(7, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert torch.cat(batches).tolist() == list(range(7))


def test_processes_share_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    for rank in range(3):
        monkeypatch.setattr(processes, "rank_and_processes", lambda rank=rank: (rank, 3))
        seen += torch.cat(list(own_batches(10, 2))).tolist()
    assert sorted(seen) == list(range(10))


def test_fewer_objects_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "rank_and_processes", lambda: (0, 3))
    with pytest.raises(GanverseError, match="per process"):
        list(own_batches(2, 2))
