from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from ganverse.data.indices import IndexBatches
from ganverse.data.world_cache import WorldImages
from ganverse.data.world_images import CachedImages, CachedImageStream, open_images
from ganverse.errors import GanverseError

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


def stream_of(images: np.ndarray, seed: int = 0, *, mirror: bool = True) -> CachedImageStream:
    return CachedImageStream(images, seed, lambda: IndexBatches(4), mirror=mirror)


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


def test_processes_share_the_stream(path: Path, images: np.ndarray) -> None:
    expected = stream_of(images).samples(range(16, 32)).view(4, 4, 3, SIDE, SIDE)
    for rank in range(2):
        data = CachedImages(path, batch=4)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, lightning_module=Counter(16))
        batches = iter(data.train_dataloader())
        assert torch.equal(next(batches), expected[rank])
        assert torch.equal(next(batches), expected[2 + rank])


class Counter(pl.LightningModule):
    """As far as the data are concerned, a task."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.register_buffer("images_seen", torch.tensor(images))


@pytest.mark.parametrize(
    "content",
    [np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 3, 4, 4), np.uint8)],
)
def test_other_arrays_are_refused(tmp_path: Path, content: np.ndarray) -> None:
    np.save(tmp_path / "other.npy", content)
    with pytest.raises(GanverseError, match="Expected square uint8 images"):
        open_images(tmp_path / "other.npy")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("not an array")
    for name in ("empty.npy", "text.npy", "absent.npy"):
        with pytest.raises(GanverseError, match="could not read it"):
            open_images(tmp_path / name)


def test_a_missing_cache_is_rendered_and_then_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "cars.npy"
    data = CachedImages(path, batch=2, content=WorldImages(images=3, resolution=8))
    data.prepare_data()
    written = path.stat().st_mtime_ns
    assert next(iter(data.train_dataloader())).shape == (2, 3, 8, 8)
    data.prepare_data()
    assert path.stat().st_mtime_ns == written


def test_a_cache_of_other_images_is_refused(path: Path) -> None:
    with pytest.raises(GanverseError, match=r"Expected images \[10, 3, 8, 8\]"):
        CachedImages(path, content=WorldImages(images=10, resolution=8)).train_dataloader()
    CachedImages(path, content=WorldImages(images=10, resolution=4)).train_dataloader()


def test_nothing_is_rendered_without_being_told_what(tmp_path: Path) -> None:
    data = CachedImages(tmp_path / "absent.npy")
    data.prepare_data()
    with pytest.raises(GanverseError, match="could not read it"):
        data.train_dataloader()
