"""Car-world images for the image GAN: rendered once to a cache file, read as an endless stream.

Sample i is a pure function of (seed, i): every image appears once per pass, in an order and with mirroring that depend
only on (seed, pass).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ganverse.data.indices import EvenBatches, IndexBatches
from ganverse.data.multi_view import CountedData
from ganverse.errors import AT_LEAST_1, FROM_1, GanverseError, brief, check_ranges
from ganverse.io import from_bytes, regular, to_bytes
from ganverse.worlds.generator import CarWorldGenerator, world_samples

_CHUNK = 64
_CHUNKS_WORTH_A_PROCESS = 32
_MOST_PROCESSES = 8


class WorldImages(CountedData):
    """Images of random cars under random cameras, for `ImageGAN`.

    Args:
        cache: uint8 .npy file [images, 3, resolution, resolution]; rendered if missing.
        images: number of images; samples 0 ... images - 1 of the car world's stream `seed`.
        resolution: image size in pixels.
        seed: of the images and their order.
        mirror: mirror half of the images.
        batch_size: images per process and step; multiples of 4 keep the minibatch deviation within one process.
        validation_images: number of held-out images per validation, rendered on the fly.
    """

    def __init__(
        self,
        cache: Path = Path("runs/cache/cars64.npy"),
        images: int = 40_000,
        resolution: int = 64,
        seed: int = 0,
        mirror: bool = True,
        batch_size: int = 16,
        validation_images: int = 256,
    ) -> None:
        super().__init__()
        given = {"images": images, "resolution": resolution, "batch_size": batch_size}
        check_ranges(given, images=AT_LEAST_1, resolution=(1, 4096), batch_size=FROM_1)
        check_ranges({"seed": seed, "validation_images": validation_images})
        self.cache, self.images, self.resolution, self.seed = Path(cache), images, resolution, seed
        self.mirror, self.batch_size, self.validation_images = mirror, batch_size, validation_images

    @property
    def fingerprints(self) -> dict[str, str]:
        """What the samples depend on; a resumed run must match its checkpoint's."""
        return {"samples": f"car world, {self.images} images of {self.resolution} px, seed {self.seed}"}

    def prepare_data(self) -> None:
        """Renders a missing cache. Lightning calls this on one process per machine; the others wait."""
        if not regular(self.cache).exists():
            write_world_images(self.cache, (self.images, 3, self.resolution, self.resolution), self.seed)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Endless batches [batch, 3, resolution, resolution] in [0, 1], starting after the last image seen.

        Raises:
            GanverseError: the file is missing or has other contents.
        """
        rank, world = self._rank_and_world()
        indices = IndexBatches(self.batch_size, self.samples_seen, rank, world)
        return DataLoader(ImageStream(self._open(), self.seed, self.mirror, indices), batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """This process's share of the held-out images."""
        rank, world = self._rank_and_world()
        batches = EvenBatches(self.batch_size, self.images, self.validation_images, rank, world)
        generator = CarWorldGenerator(self.resolution)
        images = [world_samples(self.seed, indices, generator)[1] for indices in batches]
        return DataLoader(cast(Any, images), batch_size=None)

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        """Counts training images."""
        self._count(len(batch))
        return batch

    def make(self, indices: Iterable[int]) -> Float[Tensor, "count 3 height width"]:
        """The samples with these global indices, on the CPU; errors as above."""
        return ImageStream(self._open(), self.seed, self.mirror, IndexBatches(1)).samples(indices)

    def _open(self) -> np.ndarray:
        """Memory-maps the cache."""
        try:
            images: np.ndarray = np.load(self.cache, mmap_mode="r")
        except Exception as error:  # numpy raises anything for a damaged header
            raise GanverseError(
                f"expected a .npy file of images at {self.cache}, but it cannot be read ({brief(error)})"
            ) from error
        expected = (self.images, 3, self.resolution, self.resolution)
        if images.dtype != np.uint8 or images.shape != expected:
            raise GanverseError(
                f"expected uint8 images {list(expected)} in {self.cache}, got {images.dtype} {list(images.shape)}; "
                "delete the file to render it again, or give another path"
            )
        return images


class ImageStream(IterableDataset[Tensor]):
    """Endless batches of float images in [0, 1] from a uint8 array [N, 3, H, H]."""

    def __init__(self, images: np.ndarray, seed: int, mirror: bool, batches: IndexBatches) -> None:
        super().__init__()
        self._images, self._seed, self._mirror, self._batches = images, seed, mirror, batches
        self._pass: tuple[int, np.ndarray, np.ndarray] | None = None

    def samples(self, indices: Iterable[int]) -> Float[Tensor, "count 3 height width"]:
        """Samples of the endless stream by global index."""
        chosen = [self._choose(index) for index in indices]
        pixels = np.stack([self._images[row][..., ::-1] if flip else self._images[row] for row, flip in chosen])
        return from_bytes(torch.from_numpy(pixels))

    def __iter__(self) -> Iterator[Tensor]:
        """Endless batches of this process."""
        for indices in self._batches:
            yield self.samples(indices.tolist())

    def _choose(self, index: int) -> tuple[int, bool]:
        """Array row and mirroring of a sample."""
        number, offset = divmod(index, len(self._images))
        if self._pass is None or self._pass[0] != number:
            source = np.random.default_rng((self._seed, number))
            order = source.permutation(len(self._images))
            self._pass = (number, order, source.random(len(self._images)) < 0.5)
        _, order, flips = self._pass
        return int(order[offset]), self._mirror and bool(flips[offset])


def write_world_images(path: Path, shape: tuple[int, int, int, int], seed: int) -> None:
    """Renders the images to a uint8 .npy file, which appears under its name only when complete.

    shape: [N, 3, H, H]. Uses as many processes as cores, fewer for small files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    chunks = torch.arange(shape[0]).split(_CHUNK)
    workers = min(os.cpu_count() or 1, _MOST_PROCESSES, len(chunks) // _CHUNKS_WORTH_A_PROCESS)
    # spawn instead of fork, which would inherit locks of torch's threads
    context = "spawn" if workers else None
    rendered = DataLoader(
        Renders(seed, shape[-1], chunks), batch_size=None, num_workers=workers, multiprocessing_context=context
    )
    try:
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        done = track(rendered, f"Rendering {shape[0]:,} cars", total=len(chunks))
        for indices, images in zip(chunks, done, strict=True):
            pixels[indices] = images
        pixels.flush()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Renders(Dataset[Tensor]):
    """Images of the car world's stream `seed`, in chunks of indices."""

    def __init__(self, seed: int, resolution: int, chunks: Sequence[Tensor]) -> None:
        self._seed, self._resolution, self._chunks = seed, resolution, chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, chunk: int) -> UInt8[Tensor, "images 3 side side"]:
        return to_bytes(world_samples(self._seed, self._chunks[chunk], CarWorldGenerator(self._resolution))[1])
