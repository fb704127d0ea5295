"""Samples on disk: by any number of processes, interrupted and continued, read as the stream makes them."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image
from pytorch_lightning.strategies import DDPStrategy

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.multi_view_folder import FolderWriter, MultiViewFolder
from ganverse.data.multi_view_shards import MultiViewShards
from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.data.shards import ShardReader, read_plan
from ganverse.errors import GanverseError
from ganverse.masks.filtering import MaskFilter
from ganverse.tasks import dataset_generation
from ganverse.tasks.dataset_generation import DatasetGeneration
from tests.tasks import toys

SAMPLING = SamplingSettings(block=4, filter=MaskFilter(min_area=0.3))
"""Some samples need several attempts."""


def generate(
    made: DatasetGeneration, data: MultiViewStream, folder: Path, processes: int = 1, **settings: object
) -> None:
    strategy = DDPStrategy(process_group_backend="gloo", start_method="fork") if processes > 1 else "auto"
    trainer = toys.trainer(folder, devices=processes, strategy=strategy, **settings)
    trainer.predict(made, datamodule=data, return_predictions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["shards", "folder"])
def test_two_processes_write_what_one_writes(kind: str, files: toys.Files, tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        made = DatasetGeneration(tmp_path / name, samples=14, per_file=4, format=kind)
        generate(made, toys.stream(files, sampling=SAMPLING), tmp_path, processes)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    expected = {"manifest.json", "kept.png", "dropped.png", "views.png", "shard-000003.tar"}
    if kind == "folder":
        expected = {"views.yaml", "views.png", "000000013"}
    assert expected <= {name.split("/")[0] for name in one}
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_generation_counts_and_shows_what_it_dropped(files: toys.Files, tmp_path: Path) -> None:
    made = DatasetGeneration(tmp_path / "shards", samples=10, per_file=5)
    generate(made, toys.stream(files, sampling=SAMPLING), tmp_path)
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    counts = manifest["images"]
    assert counts["kept"] >= 2 * (10 - manifest["forced_samples"])
    assert counts["no_object"] + counts["several_objects"] + counts["too_small"] > 0
    with Image.open(tmp_path / "shards" / "kept.png") as kept:
        assert kept.size == (16 * toys.SIZE, 3 * toys.SIZE), "20 pictures, each beside its foreground"


class Tired(MultiViewStream):
    """The power goes out after two files. made: the samples of each."""

    made: list[list[int]]

    def draw(self, indices: torch.Tensor, *where: object) -> object:
        if len(self.made) == 2:
            raise RuntimeError("the power went out")
        self.made.append(indices.tolist())
        return super().draw(indices, *where)


@pytest.mark.parametrize("kind", ["shards", "folder"])
def test_an_interrupted_run_continues_and_ends_the_same(kind: str, files: toys.Files, tmp_path: Path) -> None:
    settings = {"samples": 12, "per_file": 4, "format": kind}
    generate(DatasetGeneration(tmp_path / "straight", **settings), toys.stream(files), tmp_path)
    data = toys.stream(files, kind=Tired)
    data.made = []
    with pytest.raises(RuntimeError, match="power"):
        generate(DatasetGeneration(tmp_path / "broken", **settings), data, tmp_path)
    assert data.made == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert not (tmp_path / "broken" / "manifest.json").exists()
    data.made = []
    generate(DatasetGeneration(tmp_path / "broken", **settings), data, tmp_path)
    assert data.made == [[8, 9, 10, 11]]
    assert contents(tmp_path / "broken") == contents(tmp_path / "straight")
    generate(DatasetGeneration(tmp_path / "broken", **settings), data, tmp_path)
    assert len(data.made) == 1, "nothing is made twice"


def test_a_run_that_is_killed_before_it_sums_up_does_it_later(
    files: toys.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("the power went out")

    made = DatasetGeneration(tmp_path / "shards", samples=4, per_file=2)
    with monkeypatch.context() as patch:
        patch.setattr(dataset_generation, "drop_chart", killed)
        with pytest.raises(RuntimeError, match="power"):
            generate(made, toys.stream(files), tmp_path)
    generate(DatasetGeneration(tmp_path / "shards", samples=4, per_file=2), toys.stream(files), tmp_path)
    assert (tmp_path / "shards" / "dropped.png").is_file()
    assert (tmp_path / "shards" / "manifest.json").is_file()


def test_shards_train_as_the_stream_does(files: toys.Files, tmp_path: Path) -> None:
    """Bit for bit, in the first epoch; the same masks, view ids and styles."""
    generate(DatasetGeneration(tmp_path / "shards", samples=14, per_file=5), toys.stream(files), tmp_path)
    shards = MultiViewShards(tmp_path / "shards", batch_size=3, validation_objects=2, num_workers=0)
    stream = toys.stream(files, 3)
    for stored, indices in zip(islice(shards.train_dataloader(), 4), stream.train_dataloader(), strict=False):
        made = stream.make(indices)
        for name in ("images", "masks", "view_ids", "sample_index", "styles"):
            assert torch.equal(getattr(stored, name), getattr(made, name)), name
    weights = []
    for data in (stream, shards):
        module = toys.inverse()
        toys.trainer(tmp_path, max_steps=4, limit_val_batches=0).fit(module, datamodule=data)
        weights.append(module.state_dict())
    assert toys.differences(*weights) == {}
    assert shards.azimuth_degrees == stream.azimuth_degrees
    assert shards.source.sha256 == stream.source.sha256, "StyleGAN-R can be trained from them too"


def test_a_folder_trains_with_the_same_pictures(files: toys.Files, tmp_path: Path) -> None:
    generate(DatasetGeneration(tmp_path / "pictures", samples=10, format="folder"), toys.stream(files), tmp_path)
    folder = MultiViewFolder(tmp_path / "pictures", resolution=toys.SIZE, batch_size=8, validation_objects=2)
    stored, made = folder.make(torch.arange(8)), toys.stream(files).make(torch.arange(8))
    assert folder.azimuth_degrees == toys.AZIMUTHS
    assert torch.equal(stored.view_ids.sort().values, made.view_ids.sort().values)
    order = stored.view_ids.argsort(dim=1).eq(made.view_ids.argsort(dim=1)).all(dim=1)
    assert torch.equal(stored.images[order], made.images[order])
    assert torch.equal(stored.masks[order], made.masks[order])
    module = toys.inverse()
    toys.trainer(tmp_path, max_steps=2).fit(module, datamodule=folder)
    assert module.images_seen == 32
    card = module.save_pretrained(tmp_path / "inverse.safetensors")
    assert (card.generator, card.generator_sha256) == ("data", "")


def test_shards_of_a_finished_run_read_as_the_stream(files: toys.Files, tmp_path: Path) -> None:
    generate(DatasetGeneration(tmp_path / "shards", samples=6, per_file=4), toys.stream(files), tmp_path)
    stored = ShardReader(read_plan(tmp_path / "shards")).batch(range(6))
    made = toys.stream(files).make(torch.arange(6))
    assert torch.equal(stored.images, made.images)
    assert torch.equal(stored.masks, made.masks)


def test_a_folder_with_other_samples_is_refused(files: toys.Files, tmp_path: Path) -> None:
    generate(DatasetGeneration(tmp_path / "shards", samples=4, per_file=4), toys.stream(files), tmp_path)
    other = toys.stream(files, sampling=SamplingSettings(seed=9, attempts=1, block=4))
    with pytest.raises(GanverseError, match="another folder"):
        generate(DatasetGeneration(tmp_path / "shards", samples=4, per_file=4), other, tmp_path)
    FolderWriter(tmp_path / "pictures", (0.0, 90.0))
    with pytest.raises(GanverseError, match="images of these views"):
        generate(DatasetGeneration(tmp_path / "pictures", format="folder"), toys.stream(files), tmp_path)


def test_only_a_stream_makes_samples(files: toys.Files, tmp_path: Path) -> None:
    generate(DatasetGeneration(tmp_path / "shards", samples=12, per_file=4), toys.stream(files), tmp_path)
    shards = MultiViewShards(tmp_path / "shards", batch_size=2)
    with pytest.raises(GanverseError, match="expected a MultiViewStream as the data, got MultiViewShards"):
        generate(DatasetGeneration(tmp_path / "again"), shards, tmp_path)
    with pytest.raises(GanverseError, match="at least 1"):
        DatasetGeneration(tmp_path, samples=0)


def test_the_sampler_is_drawn_from_in_float32(files: toys.Files, tmp_path: Path) -> None:
    """Whatever the precision of the training, samples have the same bits."""

    class Watched(MultiViewStream):
        @cached_property
        def sampler(self) -> MultiViewSampler:
            made = super().sampler
            draw = made.draw

            def watched(*given: object, **named: object) -> object:
                precisions.append(torch.is_autocast_enabled("cpu"))
                return draw(*given, **named)

            made.draw = watched
            return made

    precisions: list[bool] = []
    module = toys.inverse()
    trainer = toys.trainer(tmp_path, max_steps=1, precision="bf16-mixed", limit_val_batches=0)
    trainer.fit(module, datamodule=toys.stream(files, kind=Watched))
    assert precisions == [False]
