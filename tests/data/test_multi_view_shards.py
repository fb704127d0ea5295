from itertools import islice
from pathlib import Path

import pytest
import torch

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.sampling import MultiViewSampler
from ganverse.data.shard_module import SampleOrder, ShardDataModule
from ganverse.data.shards import ShardPlan, write_manifest, write_shard
from ganverse.errors import GanverseError


@pytest.fixture
def folder(sampler: MultiViewSampler, tmp_path: Path) -> Path:
    plan = ShardPlan(tmp_path, 14, 5, sampler.fingerprint)
    for shard in range(plan.shards):
        drawn = sampler.draw(torch.tensor(list(plan.indices(shard))))
        write_shard(plan, shard, drawn.batch, sampler.codes.azimuth_degrees.tolist(), drawn.counts, 0)
    write_manifest(plan)
    return tmp_path


def test_the_first_epoch_is_the_stream(folder: Path, sampler: MultiViewSampler) -> None:
    stream = MultiViewStream(sampler, 4)
    shards = ShardDataModule(folder, 4, validation_samples=2)
    for stored, indices in zip(islice(shards.train_dataloader(), 3), stream.train_dataloader(), strict=False):
        made = stream.make(indices)
        for name in ("images", "masks", "view_ids", "sample_index", "styles"):
            assert torch.equal(getattr(stored, name), getattr(made, name)), name


def test_later_epochs_are_shuffled_and_leave_nothing_out() -> None:
    order = SampleOrder(10, seed=1)
    epochs = [order(torch.arange(10 * epoch, 10 * epoch + 10)) for epoch in range(3)]
    assert epochs[0] == list(range(10))
    assert all(sorted(epoch) == epochs[0] for epoch in epochs)
    assert epochs[1] != epochs[2] != epochs[0]
    assert order(torch.arange(8, 13)) == epochs[0][8:] + epochs[1][:3]


def test_loader_workers_change_neither_content_nor_order(folder: Path) -> None:
    alone = ShardDataModule(folder, 3, validation_samples=2)
    helped = ShardDataModule(folder, 3, validation_samples=2, workers=2)
    for a, b in zip(islice(alone.train_dataloader(), 5), islice(helped.train_dataloader(), 5), strict=True):
        assert torch.equal(a.sample_index, b.sample_index)
        assert torch.equal(a.images, b.images)


def test_resuming_continues_behind_the_last_sample(folder: Path) -> None:
    straight = ShardDataModule(folder, 3, validation_samples=2)
    expected = [batch.sample_index.tolist() for batch in islice(straight.train_dataloader(), 6)]
    resumed = ShardDataModule(folder, 3, validation_samples=2)
    resumed.load_state_dict({"samples_seen": 9, "fingerprint": straight.fingerprint})
    assert [batch.sample_index.tolist() for batch in islice(resumed.train_dataloader(), 3)] == expected[3:]


def test_validation_is_the_end_of_the_folder(folder: Path) -> None:
    data = ShardDataModule(folder, 2, validation_samples=3)
    assert [i for batch in data.val_dataloader() for i in batch.sample_index.tolist()] == [11, 12, 13]
    seen = {i for batch in islice(data.train_dataloader(), 30) for i in batch.sample_index.tolist()}
    assert seen == set(range(11))


def test_too_few_samples_are_explained(folder: Path) -> None:
    with pytest.raises(GanverseError, match="14 for validation"):
        ShardDataModule(folder, 4, validation_samples=14)
