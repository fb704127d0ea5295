import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganverse.data.indices import IndexBatches, ResumableSamples
from ganverse.data.shard_module import SampleOrder
from ganverse.errors import GanverseError


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_all_processes_together_see_every_index_once(world: int) -> None:
    parts = [IndexBatches(4, 100, 130, rank, world) for rank in range(world)]
    seen = torch.cat([batch for part in parts for batch in part])
    assert seen.sort().values.tolist() == list(range(100, 130))
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]


def test_a_step_of_all_processes_is_one_run_of_indices() -> None:
    streams = [iter(IndexBatches(3, 7, None, rank, 2)) for rank in range(2)]
    for step in range(4):
        indices = torch.cat([next(stream) for stream in streams])
        assert indices.tolist() == list(range(7 + 6 * step, 13 + 6 * step))


def test_an_endless_stream_has_no_length() -> None:
    with pytest.raises(TypeError, match="no length"):
        len(IndexBatches(3))


def test_state_survives_and_other_data_is_refused() -> None:
    data = ResumableSamples(4, "cars")
    data.samples_seen = 48
    again = ResumableSamples(8, "cars")
    again.load_state_dict(data.state_dict())
    assert again.samples_seen == 48
    with pytest.raises(GanverseError, match=r"checkpoint.*cars.*horses"):
        ResumableSamples(4, "horses").load_state_dict(data.state_dict())
    with pytest.raises(GanverseError, match="batch size"):
        ResumableSamples(0, "cars")


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(processes, batch, steps) of a few runs, each resuming the one before."""
    return draw(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(0, 6)), min_size=1, max_size=5))


@given(runs())
def test_no_sample_is_repeated_or_skipped_when_the_processes_change(
    plan: list[tuple[int, int, int]],
) -> None:
    """Together the processes of all runs walk through 0, 1, 2, ...; every process counts the same."""
    walked, state = [], ResumableSamples(1, "cars").state_dict()
    for world, batch, steps in plan:
        ranks = [ResumableSamples(batch, "cars") for _ in range(world)]
        for rank, data in enumerate(ranks):
            data.load_state_dict(state)
            data.trainer = SimpleNamespace(global_rank=rank, world_size=world, training=True)
        streams = [iter(data.training_indices()) for data in ranks]
        for _ in range(steps):
            batches = [next(stream) for stream in streams]
            for data, indices in zip(ranks, batches, strict=True):
                data.count_training_batch(indices)
            walked += torch.cat(batches).tolist()
        (state,) = {json.dumps(data.state_dict()) for data in ranks}
        state = json.loads(state)
    assert walked == list(range(len(walked)))
    assert state["samples_seen"] == len(walked)


@given(st.integers(1, 12), st.integers(0, 40), st.data())
def test_shards_show_every_sample_once_an_epoch(samples: int, start: int, data: st.DataObject) -> None:
    world = data.draw(st.integers(1, 5))
    order = SampleOrder(samples, seed=1)
    streams = [iter(IndexBatches(2, start, None, rank, world)) for rank in range(world)]
    positions = torch.cat([next(stream) for _ in range(1 + 2 * samples) for stream in streams])
    first = -(-start // samples) * samples - start
    epoch = order(positions[first : first + samples])
    assert sorted(epoch) == list(range(samples))
