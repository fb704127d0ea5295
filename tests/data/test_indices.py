import pytest
import torch

from ganverse.data.indices import IndexBatches, ResumableSamples
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
