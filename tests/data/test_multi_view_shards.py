from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
import torch

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view_shards import MultiViewShards
from ganverse.data.shards import ShardPlan, write_manifest, write_shard
from ganverse.errors import GanverseError
from tests.tasks import toys


@pytest.fixture(scope="module")
def folder(files: toys.Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 samples in three shards."""
    stream, folder = toys.stream(files), tmp_path_factory.mktemp("shards")
    plan = ShardPlan(folder, 14, 5, stream.sampler.fingerprint, stream.azimuth_degrees, stream.source_settings)
    for shard in range(plan.shards):
        write_shard(plan, shard, stream.draw(torch.tensor(list(plan.indices(shard)))))
    write_manifest(plan)
    return folder


def shards(folder: Path, batch_size: int = 3, **settings: int) -> MultiViewShards:
    return MultiViewShards(folder, batch_size, **{"validation_objects": 2, "num_workers": 0, **settings})


def test_the_first_epoch_is_the_stream(folder: Path, files: toys.Files) -> None:
    stream = toys.stream(files, 4)
    for stored, indices in zip(
        islice(shards(folder, 4).train_dataloader(), 3), stream.train_dataloader(), strict=False
    ):
        made = stream.make(indices)
        for name in ("images", "masks", "view_ids", "sample_index", "styles"):
            assert torch.equal(getattr(stored, name), getattr(made, name)), name


def test_loader_workers_change_neither_content_nor_order(folder: Path) -> None:
    alone, helped = shards(folder), shards(folder, num_workers=2)
    for a, b in zip(islice(alone.train_dataloader(), 5), islice(helped.train_dataloader(), 5), strict=True):
        assert torch.equal(a.sample_index, b.sample_index)
        assert torch.equal(a.images, b.images)


def test_resuming_continues_behind_the_last_sample(folder: Path) -> None:
    resumed = shards(folder)
    resumed.load_state_dict({"samples_seen": 9})
    straight = islice(shards(folder).train_dataloader(), 3, 6)
    for expected, found in zip(straight, islice(resumed.train_dataloader(), 3), strict=True):
        assert torch.equal(expected.sample_index, found.sample_index)
        assert torch.equal(expected.images, found.images)


def test_validation_is_the_end_of_the_folder(folder: Path) -> None:
    data = shards(folder, 2, validation_objects=3)
    stored = [
        row for batch in islice(shards(folder, 14, validation_objects=0).train_dataloader(), 1) for row in batch.styles
    ]

    def seen(batches: Iterable[MultiViewBatch]) -> list[int]:
        """Numbers in the folder."""
        rows = [row for batch in batches for row in batch.styles]
        return [next(i for i, one in enumerate(stored) if torch.equal(one, row)) for row in rows]

    assert seen(data.val_dataloader()) == [11, 12, 13]
    walk = list(islice(data.train_dataloader(), 30))
    assert set(seen(walk)) == set(range(11))
    assert torch.cat([batch.sample_index for batch in walk]).tolist() == list(range(60)), (
        "later epochs have other numbers"
    )
    assert seen([data.preview(2)]) == [11, 12]
    assert MultiViewShards(folder, 3).validation_objects == 1, "an eighth"


def test_what_the_models_read_is_that_of_the_stream(folder: Path, files: toys.Files) -> None:
    data, stream = shards(folder), toys.stream(files)
    assert (data.azimuth_degrees, data.resolution) == (stream.azimuth_degrees, stream.resolution)
    assert data.source.sha256 == stream.source.sha256
    assert data.fingerprints == {"samples": f"{stream.sampler.fingerprint} in 14 samples"}


def test_too_few_samples_are_explained(folder: Path) -> None:
    with pytest.raises(GanverseError, match="got 0 besides 14 held out"):
        shards(folder, 4, validation_objects=14)
    with pytest.raises(GanverseError, match="expected finished shards"):
        shards(folder / "absent")
