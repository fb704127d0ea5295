from pathlib import Path

import numpy as np
import pytest
import torch

from ganverse.data import world_cache
from ganverse.data.world_cache import WorldImages, write_world_images
from ganverse.errors import GanverseError
from ganverse.worlds.generator import CarWorldGenerator, world_samples


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few images make several."""
    monkeypatch.setattr(world_cache, "_CHUNK", 2)


def test_row_i_is_sample_i_of_the_world(tmp_path: Path) -> None:
    write_world_images(tmp_path / "cars.npy", WorldImages(images=5, resolution=12, seed=7))
    found = np.load(tmp_path / "cars.npy")
    _, expected, _ = world_samples(7, torch.arange(5), CarWorldGenerator(12))
    assert found.shape == (5, 3, 12, 12)
    assert found.dtype == np.uint8
    assert np.array_equal(found, (expected * 255).round().byte().numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["cars.npy"]


def test_a_failed_rendering_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, content: WorldImages, start: int) -> int:
        assert path.exists()
        if start > 0:
            raise KeyboardInterrupt
        return start

    monkeypatch.setattr(world_cache, "_render_chunk", fail)
    with pytest.raises(KeyboardInterrupt):
        write_world_images(tmp_path / "cars.npy", WorldImages(images=5, resolution=12))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"images": 0}, {"resolution": 0}])
def test_impossible_caches_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(GanverseError, match="at least one image"):
        WorldImages(**wrong)
