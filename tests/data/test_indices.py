import json
import math
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganverse.data.indices import EvenBatches, IndexBatches
from ganverse.data.multi_view_shards import SampleOrder


def test_a_step_of_all_processes_is_one_run_of_indices() -> None:
    streams = [iter(IndexBatches(3, 7, rank, 2)) for rank in range(2)]
    for step in range(4):
        indices = torch.cat([next(stream) for stream in streams])
        assert indices.tolist() == list(range(7 + 6 * step, 13 + 6 * step))


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 40))
def test_all_processes_together_see_every_held_out_index_in_as_many_steps(world: int, batch: int, count: int) -> None:
    parts = [EvenBatches(batch, 100, count, rank, world) for rank in range(world)]
    batches = [list(part) for part in parts]
    assert {len(found) for found in batches} == {len(parts[0])} == {math.ceil(count / (batch * world))}
    seen = [index for found in batches for part in found for index in part.tolist()]
    assert sorted(set(seen)) == list(range(100, 100 + count))
    assert all(0 < len(part) <= batch for found in batches for part in found)
    repeated = len(seen) - count
    assert repeated < max(len(parts[0]) * world - count, 0) + 1


@pytest.mark.parametrize("world", [1, 2, 4])
def test_full_batches_repeat_nothing(world: int) -> None:
    seen = torch.cat([part for rank in range(world) for part in EvenBatches(4, 0, 32, rank, world)])
    assert sorted(seen.tolist()) == list(range(32))


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(processes, batch, steps) of a few runs, each resuming the one before."""
    return draw(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(0, 6)), min_size=1, max_size=5))


@given(runs())
def test_no_sample_is_repeated_or_skipped_when_the_processes_change(plan: list[tuple[int, int, int]]) -> None:
    """Together the processes of all runs walk through 0, 1, 2, ..."""
    walked, seen = [], 0
    for world, batch, steps in plan:
        streams = [islice(IndexBatches(batch, seen, rank, world), steps) for rank in range(world)]
        for batches in zip(*streams, strict=True):
            walked += torch.cat(batches).tolist()
            seen += sum(map(len, batches))
        seen = json.loads(json.dumps(seen))
    assert walked == list(range(len(walked)))


@given(st.integers(1, 12), st.integers(0, 40), st.data())
def test_shards_show_every_sample_once_an_epoch(samples: int, start: int, data: st.DataObject) -> None:
    world = data.draw(st.integers(1, 5))
    order = SampleOrder(samples, seed=1)
    streams = [iter(IndexBatches(2, start, rank, world)) for rank in range(world)]
    positions = torch.cat([next(stream) for _ in range(1 + 2 * samples) for stream in streams])
    first = -(-start // samples) * samples - start
    epoch = order(positions[first : first + samples])
    assert sorted(epoch) == list(range(samples))


def test_later_epochs_are_shuffled_and_leave_nothing_out() -> None:
    order = SampleOrder(10, seed=1)
    epochs = [order(torch.arange(10 * epoch, 10 * epoch + 10)) for epoch in range(3)]
    assert epochs[0] == list(range(10))
    assert all(sorted(epoch) == epochs[0] for epoch in epochs)
    assert epochs[1] != epochs[2] != epochs[0]
    assert order(torch.arange(8, 13)) == epochs[0][8:] + epochs[1][:3]
