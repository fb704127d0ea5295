from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganverse.data import world_images
from ganverse.data.indices import IndexBatches
from ganverse.data.world_images import ImageStream, WorldImages, write_world_images
from ganverse.errors import GanverseError
from ganverse.worlds.generator import CarWorldGenerator, world_samples

COUNT, SIDE = 10, 4


@pytest.fixture
def images() -> np.ndarray:
    """Image i has the value 20 i, and a brighter left half."""
    array = np.repeat(np.arange(COUNT, dtype=np.uint8) * 20, 3 * SIDE * SIDE).reshape(COUNT, 3, SIDE, SIDE)
    array[..., : SIDE // 2] += 10
    return array


@pytest.fixture
def path(tmp_path: Path, images: np.ndarray) -> Path:
    np.save(tmp_path / "images.npy", images)
    return tmp_path / "images.npy"


def stream_of(images: np.ndarray, seed: int = 0, *, mirror: bool = True) -> ImageStream:
    return ImageStream(images, seed, mirror, IndexBatches(4))


def rows(samples: torch.Tensor) -> list[int]:
    return (samples[:, 0, 0].amin(dim=1) * 255 / 20).round().int().tolist()


def test_every_image_comes_once_per_pass(images: np.ndarray) -> None:
    stream = stream_of(images)
    passes = [rows(stream.samples(range(start, start + COUNT))) for start in (0, COUNT)]
    assert [sorted(order) for order in passes] == [list(range(COUNT))] * 2
    assert passes[0] != passes[1]
    assert passes[0] != list(range(COUNT))


def test_sample_i_depends_on_seed_and_index_alone(images: np.ndarray) -> None:
    together = stream_of(images).samples(range(7, 13))
    scattered = stream_of(images)
    for index in (12, 7, 9, 11, 8, 10):
        assert torch.equal(scattered.samples([index])[0], together[index - 7])
    assert not torch.equal(stream_of(images, seed=1).samples(range(7, 13)), together)


def test_values_and_mirroring(images: np.ndarray) -> None:
    samples = stream_of(images, mirror=False).samples(range(COUNT))
    assert torch.equal(samples, torch.from_numpy(images[rows(samples)]).float() / 255)
    both = stream_of(images).samples(range(COUNT))
    mirrored = [not torch.equal(a, b) for a, b in zip(samples, both, strict=True)]
    assert 0 < sum(mirrored) < COUNT
    assert torch.equal(both[mirrored], samples[mirrored].flip(-1))


def test_processes_share_the_stream_and_go_on_behind_the_last_image(path: Path, images: np.ndarray) -> None:
    expected = stream_of(images).samples(range(16, 32)).view(4, 4, 3, SIDE, SIDE)
    for rank in range(2):
        data = WorldImages(path, COUNT, SIDE, batch_size=4)
        data.load_state_dict({"samples_seen": 16})
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        batches = iter(data.train_dataloader())
        assert torch.equal(next(batches), expected[rank])
        assert torch.equal(next(batches), expected[2 + rank])


def test_validation_images_are_none_of_the_training(path: Path) -> None:
    data = WorldImages(path, COUNT, SIDE, batch_size=2, validation_images=3)
    _, expected, _ = world_samples(0, torch.arange(COUNT, COUNT + 3), CarWorldGenerator(SIDE))
    assert torch.equal(torch.cat(list(data.val_dataloader())), expected)


@pytest.mark.parametrize(
    "content",
    [np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 3, 4, 4), np.uint8)],
)
def test_other_arrays_are_refused(tmp_path: Path, content: np.ndarray) -> None:
    np.save(tmp_path / "other.npy", content)
    with pytest.raises(GanverseError, match="expected uint8 images"):
        WorldImages(tmp_path / "other.npy", COUNT, SIDE).train_dataloader()


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("not an array")
    for name in ("empty.npy", "text.npy", "absent.npy"):
        with pytest.raises(GanverseError, match="cannot be read"):
            WorldImages(tmp_path / name, COUNT, SIDE).train_dataloader()


def test_a_missing_cache_is_rendered_and_then_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "cars.npy"
    data = WorldImages(path, images=3, resolution=8, batch_size=2)
    data.prepare_data()
    written = path.stat().st_mtime_ns
    assert next(iter(data.train_dataloader())).shape == (2, 3, 8, 8)
    data.prepare_data()
    assert path.stat().st_mtime_ns == written


def test_a_cache_of_other_images_is_refused(path: Path) -> None:
    with pytest.raises(GanverseError, match=r"expected uint8 images \[10, 3, 8, 8\]"):
        WorldImages(path, images=COUNT, resolution=8).train_dataloader()
    WorldImages(path, images=COUNT, resolution=SIDE).train_dataloader()


@pytest.mark.parametrize("wrong", [{"images": 0}, {"resolution": 0}, {"batch_size": 0}, {"seed": -1}], ids=str)
def test_settings_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(GanverseError, match=r"expected .* to be "):
        WorldImages(**wrong)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few images make several."""
    monkeypatch.setattr(world_images, "_CHUNK", 2)


@pytest.mark.usefixtures("small_chunks")
def test_row_i_is_sample_i_of_the_world(tmp_path: Path) -> None:
    write_world_images(tmp_path / "cars.npy", (5, 3, 12, 12), seed=7)
    found = np.load(tmp_path / "cars.npy")
    _, expected, _ = world_samples(7, torch.arange(5), CarWorldGenerator(12))
    assert found.shape == (5, 3, 12, 12)
    assert found.dtype == np.uint8
    assert np.array_equal(found, (expected * 255).round().byte().numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["cars.npy"]


@pytest.mark.usefixtures("small_chunks")
def test_a_failed_rendering_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seed: int, indices: torch.Tensor, world: CarWorldGenerator) -> object:
        assert list(tmp_path.iterdir())
        if indices[0] > 0:
            raise KeyboardInterrupt
        return world_samples(seed, indices, world)

    monkeypatch.setattr(world_images, "world_samples", fail)
    with pytest.raises(KeyboardInterrupt):
        write_world_images(tmp_path / "cars.npy", (5, 3, 12, 12), seed=0)
    assert list(tmp_path.iterdir()) == []
