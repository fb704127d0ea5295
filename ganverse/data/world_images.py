"""Cached training images of a world: one uint8 array on disk, batches as a pure function of (seed, sample index)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ganverse.data.indices import IndexBatches
from ganverse.data.world_cache import WorldImages, write_world_images
from ganverse.errors import GanverseError
from ganverse.io import from_bytes


class CachedImageStream(IterableDataset[Tensor]):
    """Endless batches of float images in [0, 1] from a uint8 array [N, 3, H, H].

    Every image is seen once per pass, in an order and with mirrorings which depend on (seed, pass) alone.
    batches: asked when an iteration starts, so that a resumed run continues.
    """

    def __init__(
        self, images: np.ndarray, seed: int, batches: Callable[[], IndexBatches], *, mirror: bool = True
    ) -> None:
        super().__init__()
        self._images = images
        self._seed = seed
        self._batches = batches
        self._mirror = mirror
        self._pass: tuple[int, np.ndarray, np.ndarray] | None = None

    def samples(self, indices: Iterable[int]) -> Float[Tensor, "count 3 height width"]:
        """Samples of the endless stream by their global indices."""
        chosen = [self._choose(index) for index in indices]
        pixels = np.stack([self._images[row][..., ::-1] if flip else self._images[row] for row, flip in chosen])
        return from_bytes(torch.from_numpy(pixels))

    def __iter__(self) -> Iterator[Tensor]:
        """The batches of this process, without end."""
        for indices in self._batches():
            yield self.samples(indices.tolist())

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
    """A memory map of a uint8 .npy file [N, 3, H, H].

    Raises GanverseError if the file is missing or holds something else.
    """
    try:
        images: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise GanverseError(f"Expected a .npy file of images at {path}, could not read it ({error}).") from error
    square = images.ndim == 4 and images.shape[1] == 3 and images.shape[2] == images.shape[3]
    if images.dtype != np.uint8 or not square or len(images) == 0:
        raise GanverseError(
            f"Expected square uint8 images [N, 3, H, H] in {path}, got {images.dtype} {list(images.shape)}; "
            "give another file."
        )
    return images


class CachedImages(pl.LightningDataModule):
    """Feeds `ImageGANTask` from a cache file; starts at its `images_seen`, so a resumed run sees what it would have.

    path: the file. batch: images per step and process. content: what the file holds; if there is no file yet, these
    images of the car world are rendered into it (once per machine). None takes whatever the file holds.
    """

    def __init__(
        self, path: Path, batch: int = 32, seed: int = 0, *, mirror: bool = True, content: WorldImages | None = None
    ) -> None:
        super().__init__()
        self._path = path
        self._batch = batch
        self._seed = seed
        self._mirror = mirror
        self._content = content

    def prepare_data(self) -> None:
        """Renders the missing file; Lightning calls this on one process of every machine, and the others wait."""
        if self._content is not None and not self._path.exists():
            write_world_images(self._path, self._content)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches [batch, 3, H, H] in [0, 1], without end.

        Raises GanverseError if the file is missing or holds something else than `content` says.
        """
        stream = CachedImageStream(self._images(), self._seed, self._remaining, mirror=self._mirror)
        return DataLoader(stream, batch_size=None)

    def make(self, indices: Iterable[int]) -> Float[Tensor, "count 3 height width"]:
        """The samples with these global indices, on the CPU; errors as above."""
        return CachedImageStream(self._images(), self._seed, self._remaining, mirror=self._mirror).samples(indices)

    def _images(self) -> np.ndarray:
        images = open_images(self._path)
        if self._content is not None and images.shape != self._content.shape:
            raise GanverseError(
                f"Expected images {list(self._content.shape)} in {self._path}, got {list(images.shape)}; "
                "remove the file to have it rendered anew, or give another path."
            )
        return images

    def _remaining(self) -> IndexBatches:
        """The batches that this process has not seen yet."""
        trainer = self.trainer
        if trainer is None:
            return IndexBatches(self._batch)
        first = int(getattr(trainer.lightning_module, "images_seen", 0))
        return IndexBatches(self._batch, first, rank=trainer.global_rank, world=trainer.world_size)
