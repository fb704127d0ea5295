import pytest
import torch

from ganverse import distributed
from ganverse.distributed import own_batches, rank_and_processes


def test_one_process_has_everything() -> None:
    assert rank_and_processes() == (0, 1)
    batches = list(own_batches(7, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert torch.cat(batches).tolist() == list(range(7))


def test_processes_share_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, shared = [batch.tolist() for batch in own_batches(10, 3)], []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank_and_processes", lambda rank=rank: (rank, 3))
        shared += [batch.tolist() for batch in own_batches(10, 3)]
    assert sorted(shared) == alone, "the batches of one process, so that an object is always beside the same ones"


def test_a_process_may_have_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "rank_and_processes", lambda: (2, 3))
    assert list(own_batches(4, 2)) == []
