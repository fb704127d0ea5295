"""Cached training images of a world: one uint8 array on disk, batches as a pure function of (seed, sample index)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ganverse.errors import GanverseError


class CachedImageStream(IterableDataset[Tensor]):
    """Endless batches of float images in [0, 1] from a uint8 array [N, 3, H, W].

    Every image is seen once per pass, in an order and with mirrorings which depend on (seed, pass) alone.
    """

    def __init__(self, path: Path, batch: int, seed: int, first: Callable[[], int], *, mirror: bool = True) -> None:
        super().__init__()
        self._images = open_images(path)
        self._batch = batch
        self._seed = seed
        self._first = first
        self._mirror = mirror
        self._pass: tuple[int, np.ndarray, np.ndarray] | None = None

    def samples(self, first: int, count: int) -> Float[Tensor, "count 3 height width"]:
        """Samples first ... first + count - 1 of the endless stream."""
        chosen = [self._choose(index) for index in range(first, first + count)]
        pixels = np.stack([self._images[row][..., ::-1] if flip else self._images[row] for row, flip in chosen])
        return torch.from_numpy(pixels).float().div_(255.0)

    def __iter__(self) -> Iterator[Tensor]:
        """Batches from the sample index `first()` on (asked when the iteration starts, so a resumed run continues)."""
        position = self._first()
        while True:
            yield self.samples(position, self._batch)
            position += self._batch

    def _choose(self, index: int) -> tuple[int, bool]:
        """Row of the array and mirroring of a sample."""
        number, offset = divmod(index, len(self._images))
        if self._pass is None or self._pass[0] != number:
            source = np.random.default_rng((self._seed, number))
            order = source.permutation(len(self._images))
            self._pass = (number, order, source.random(len(self._images)) < 0.5)
        _, order, flips = self._pass
        return int(order[offset]), self._mirror and bool(flips[offset])


def open_images(path: Path) -> np.ndarray:
    """A memory map of a uint8 .npy file [N, 3, H, W].

    Raises GanverseError if the file is missing or holds something else.
    """
    try:
        images: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise GanverseError(f"Expected a .npy file of images at {path}, could not read it ({error}).") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise GanverseError(
            f"Expected square uint8 images [N, 3, H, H] in {path}, got {images.dtype} {list(images.shape)}."
        )
    return images


class CachedImages(pl.LightningDataModule):
    """Feeds `ImageGANTask` from a cache file; starts at the task's `images_seen`, so a resumed run sees what it would have."""

    def __init__(self, path: Path, batch: int = 32, seed: int = 0, *, mirror: bool = True) -> None:
        super().__init__()
        self._path = Path(path)
        self._batch = batch
        self._seed = seed
        self._mirror = mirror

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches [batch, 3, H, W] in [0, 1], without end."""
        stream = CachedImageStream(self._path, self._batch, self._seed, self._first, mirror=self._mirror)
        return DataLoader(stream, batch_size=None)

    def _first(self) -> int:
        module = self.trainer.lightning_module if self.trainer is not None else None
        return int(getattr(module, "images_seen", 0))
