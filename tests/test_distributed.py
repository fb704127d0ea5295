import pytest
import torch
import torch.distributed as dist

from ganverse import distributed
from ganverse.distributed import average_gradients, own_batches, rank_and_processes


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


class TwoProcesses:
    """Stands in for a group of this process and another whose tensors are given, in the order of the calls."""

    def __init__(self, others: list[torch.Tensor]) -> None:
        self.others = others

    def all_reduce(self, tensor: torch.Tensor) -> None:
        tensor += self.others.pop(0)


def parameter(gradient: float | None) -> torch.Tensor:
    made = torch.nn.Parameter(torch.zeros(2))
    made.grad = None if gradient is None else torch.full((2,), gradient)
    return made


def test_what_no_process_uses_keeps_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = [parameter(1.0), parameter(None), parameter(None)]
    other = [torch.tensor([1.0, 0.0, 1.0]), torch.tensor([3.0, 3.0, 4.0, 4.0])]
    monkeypatch.setattr(dist, "all_reduce", TwoProcesses(other).all_reduce)
    average_gradients(parameters, 2)
    assert parameters[0].grad is not None
    assert parameters[0].grad.tolist() == [2.0, 2.0]
    assert parameters[1].grad is None
    assert parameters[2].grad is not None
    assert parameters[2].grad.tolist() == [2.0, 2.0]


def test_an_idle_layer_starts_like_in_a_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam must not count the steps in which a layer was not in use."""
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.mul_(2))
    results = []
    for processes in (1, 2):
        layers = [parameter(None), parameter(None)]
        adam = torch.optim.Adam(layers, 0.1)
        for step in range(6):
            adam.zero_grad()
            for layer in layers[: 1 if step < 4 else 2]:
                layer.grad = torch.full((2,), 1.0 + step)
            if processes > 1:
                average_gradients(layers, processes)
            adam.step()
        results.append(torch.stack([layer.detach() for layer in layers]))
    assert torch.equal(*results)
