from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.multi_view import VALIDATION_START, MultiViewStream
from ganverse.data.sampling import SamplingSettings
from ganverse.errors import GanverseError
from ganverse.masks.filtering import MaskFilter
from tests.tasks import toys


class Diary(pl.LightningModule):
    """Learns next to nothing and writes down what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.seen: list[int] = []
        self.validated: list[int] = []

    def training_step(self, batch: MultiViewBatch, batch_idx: int) -> Tensor:
        self.seen += batch.sample_index.tolist()
        return (self.gain * batch.images * batch.masks).mean()

    def validation_step(self, batch: MultiViewBatch, batch_idx: int) -> None:
        self.validated += batch.sample_index.tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_samples_of_all_processes_are_counted_in_training_only(files: toys.Files) -> None:
    data = toys.stream(files, 3)
    batch = data.make(torch.arange(3))
    for training, seen in ((True, 12), (False, 12), (True, 24)):
        data.trainer = SimpleNamespace(predicting=False, training=training, global_rank=1, world_size=4)
        assert data.on_after_batch_transfer(batch, 0) is batch
        assert data.samples_seen == seen


def test_training_resumes_behind_the_last_sample_seen(files: toys.Files, tmp_path: Path) -> None:
    straight, data = Diary(), toys.stream(files, 3)
    toys.trainer(tmp_path, max_steps=5, limit_val_batches=0).fit(straight, datamodule=data)
    assert straight.seen == list(range(15))
    assert data.samples_seen == 15
    first, trainer = Diary(), toys.trainer(tmp_path, max_steps=2, limit_val_batches=0)
    trainer.fit(first, datamodule=toys.stream(files, 3))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second, resumed = Diary(), toys.stream(files, 3)
    toys.trainer(tmp_path, max_steps=5, limit_val_batches=0).fit(
        second, datamodule=resumed, ckpt_path=tmp_path / "half.ckpt"
    )
    assert first.seen + second.seen == straight.seen
    assert torch.equal(second.gain, straight.gain)


def test_the_generator_is_not_in_the_checkpoint(files: toys.Files, tmp_path: Path) -> None:
    trainer, diary = toys.trainer(tmp_path, max_steps=1, limit_val_batches=0), Diary()
    trainer.fit(diary, datamodule=toys.stream(files))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert list(checkpoint["state_dict"]) == ["gain"]
    assert checkpoint["MultiViewStream"] == {"samples_seen": 2}


def test_validation_samples_are_fixed_and_never_trained_on(files: toys.Files, tmp_path: Path) -> None:
    data, diary = toys.stream(files, 4, validation_objects=6), Diary()
    toys.trainer(tmp_path).validate(diary, datamodule=data, verbose=False)
    assert diary.validated == list(range(VALIDATION_START, VALIDATION_START + 6))
    assert data.samples_seen == 0
    assert data.preview(2).sample_index.tolist() == diary.validated[:2]


def test_what_the_filter_drops_is_counted(files: toys.Files) -> None:
    data = toys.stream(files, sampling=SamplingSettings(block=4, filter=MaskFilter(min_area=0.4)))
    batches = [data.make(indices) for indices in torch.arange(16).split(8)]
    assert data.counts.images >= 2 * 16
    assert 0 < data.counts.dropped_share < 1
    assert len(batches[0]) == 8


def test_the_stream_names_all_it_depends_on(files: toys.Files, tmp_path: Path) -> None:
    first = toys.stream(files).fingerprints
    assert set(first) == {"generator", "view_codes", "samples"}
    assert toys.stream(files, 7, validation_objects=9).fingerprints == first, "the batch size changes no sample"
    assert toys.stream(files, sampling=SamplingSettings(seed=3)).fingerprints["samples"] != first["samples"]
    other = toys.save_files(tmp_path, seed=8)
    assert toys.stream(other).fingerprints["generator"] != first["generator"]
    car_segmenter = MultiViewStream(str(files.generator), sampling=toys.stream(files).sampling)
    assert car_segmenter.fingerprints["samples"] != first["samples"]


def test_resolution_and_views_are_those_of_the_generator(files: toys.Files) -> None:
    data = toys.stream(files)
    assert data.azimuth_degrees == toys.AZIMUTHS
    assert (data.resolution, data.known_cameras) == (toys.SIZE, None)
    smaller = toys.stream(files, resolution=16)
    assert smaller.resolution == 16
    assert smaller.make(torch.arange(1)).images.shape == (1, 2, 3, 16, 16)


@pytest.mark.parametrize(
    ("name", "wrong", "limits"), [("batch_size", 0, "from 1 to 100000"), ("validation_objects", -1, "at least 0")]
)
def test_settings_out_of_range(name: str, wrong: int, limits: str) -> None:
    with pytest.raises(GanverseError, match=f"expected {name} to be {limits}"):
        MultiViewStream(**{name: wrong})


def test_a_batch_knows_its_length_and_moves_as_a_whole() -> None:
    batch = MultiViewBatch(
        torch.rand(2, 3, 3, 4, 4),
        torch.rand(2, 3, 1, 4, 4),
        torch.zeros(2, 3, dtype=torch.long),
        torch.arange(2),
        torch.rand(2, 3, 7),
    )
    moved = batch.to("meta")
    assert len(batch) == 2
    assert {x.device.type for x in (moved.images, moved.masks, moved.styles, moved.view_ids)} == {"meta"}
    assert moved.sample_index.device.type == "cpu", "decides what is done, on the host"
