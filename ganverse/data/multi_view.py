"""Multi-view DataModules: the base class, and the stream that generates samples during training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from ganverse.batch import MultiViewBatch
from ganverse.data.indices import EvenBatches, IndexBatches, MadeBatches
from ganverse.data.sampling import Drawn, MultiViewSampler, SamplingSettings
from ganverse.data.sources import Category, MaskSource, Source, SourceSettings, open_source
from ganverse.errors import FROM_1, check_ranges
from ganverse.inverse.camera_table import CameraTable
from ganverse.masks.filtering import FilterCounts

VALIDATION_START = 2**40
"""Index of the first held-out sample, beyond any training run."""


class CountedData(pl.LightningDataModule):
    """Saves the number of training samples seen by all processes in checkpoints."""

    samples_seen = 0

    def state_dict(self) -> dict[str, Any]:
        """Number of training samples seen, for checkpoints."""
        return {"samples_seen": self.samples_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues after the last sample seen."""
        self.samples_seen = int(state_dict["samples_seen"])

    def _count(self, samples: int) -> None:
        """Counts this process's samples of a training batch, times the number of processes."""
        if self.trainer is not None and self.trainer.training:
            self.samples_seen += samples * self.trainer.world_size

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)


class MultiViewData(CountedData, ABC):
    """Base of the multi-view sources: several views of every object, with masks and view ids.

    Training data is endless; limit the training by images or steps. All processes together walk through the samples 0,
    1, 2, ..., and a resumed run continues after the last one seen. Held-out samples are never trained on. Models read
    `azimuth_degrees`, `resolution` and `fingerprints` at setup.

    Args:
        batch_size: objects per process and step.
        validation_objects: number of held-out objects per validation.
    """

    def __init__(self, batch_size: int, validation_objects: int) -> None:
        super().__init__()
        check_ranges({"batch_size": batch_size, "validation_objects": validation_objects}, batch_size=FROM_1)
        self.batch_size = batch_size
        self.validation_objects = validation_objects
        self._stream: torch.cuda.Stream | None = None

    @property
    @abstractmethod
    def azimuth_degrees(self) -> tuple[float, ...]:
        """Coarse azimuth of every view in degrees, where its camera starts (one camera per view)."""

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Height and width of the images in pixels."""

    @property
    @abstractmethod
    def fingerprints(self) -> dict[str, str]:
        """Hashes of everything the samples depend on, by name; a resumed run must match its checkpoint's."""

    @property
    def source(self) -> Source | None:
        """The generator of the images, if there is one."""
        return None

    @property
    def known_cameras(self) -> CameraTable | None:
        """Exact cameras that need no learning, if the images were rendered with known ones."""
        return None

    @abstractmethod
    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """The samples of these indices on `device` (default: the indices' device); also works without a trainer.

        Indices from `VALIDATION_START` on are held-out samples.
        """

    def setup(self, stage: str) -> None:
        """Opens everything, so that missing or wrong files are reported before training starts."""
        self.fingerprints  # noqa: B018

    def preview(self, objects: int) -> MultiViewBatch:
        """The first held-out objects, always the same; on the CPU, but computed on the trainer's device."""
        return self.make(torch.arange(VALIDATION_START, VALIDATION_START + objects), self._device).to("cpu")

    def train_dataloader(self) -> Any:
        """Endless batches of global sample indices, starting after the last one seen."""
        rank, world = self._rank_and_world()
        return IndexBatches(self.batch_size, self.samples_seen, rank, world)

    def val_dataloader(self) -> Any:
        """Every held-out index once, divided among the processes."""
        rank, world = self._rank_and_world()
        return EvenBatches(self.batch_size, VALIDATION_START, self.validation_objects, rank, world)

    def test_dataloader(self) -> Any:
        """The held-out samples."""
        return self.val_dataloader()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves loaded batches to the device. Indices stay on the CPU, where they determine the samples."""
        return batch.to(device) if isinstance(batch, MultiViewBatch) else batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Converts indices to a batch on the device, and counts training samples (prefetched ones excluded)."""
        if self.trainer is not None and self.trainer.predicting:
            return batch  # `DatasetGeneration` also needs the rejected samples
        made = batch if isinstance(batch, MultiViewBatch) else self._make_beside(batch)
        self._count(len(made))
        return made

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _make_beside(self, indices: Int[Tensor, " batch"]) -> MultiViewBatch:
        """`make`, on a GPU in its own stream.

        The sampler waits for the GPU to learn which images the filter rejects. The previous step continues meanwhile,
        unless it makes the host wait.
        """
        if self._device.type != "cuda":
            return self.make(indices, self._device)
        main = torch.cuda.current_stream(self._device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
            self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            made = self.make(indices, self._device)
        main.wait_stream(self._stream)
        for tensor in (made.images, made.masks, made.view_ids, made.styles):
            tensor.record_stream(main)  # keeps the memory while the step reads it
        return made


class MultiViewFiles(MultiViewData):
    """Base of the sources that read images from disk.

    Args:
        batch_size: objects per process and step.
        validation_objects: number of held-out objects per validation.
        num_workers: loader processes that decode batches ahead; 0 decodes between steps.
    """

    def __init__(self, batch_size: int, validation_objects: int, num_workers: int) -> None:
        super().__init__(batch_size, validation_objects)
        self.num_workers = num_workers

    def train_dataloader(self) -> Any:
        """Endless decoded batches, starting after the last sample seen."""
        return DataLoader(MadeBatches(self.make, super().train_dataloader()), None, num_workers=self.num_workers)

    def val_dataloader(self) -> Any:
        """Every held-out sample once, divided among the processes."""
        return DataLoader(MadeBatches(self.make, super().val_dataloader()), None, num_workers=self.num_workers)

    def __getstate__(self) -> dict[str, Any]:
        """Drops the trainer, which loader processes do not need."""
        return {**self.__dict__, "trainer": None}


class MultiViewStream(MultiViewData):
    """Endless multi-view dataset that a GAN generates during training, on each process's device.

    The loader yields global sample indices; images and masks are made in `on_after_batch_transfer`. Sample i is a pure
    function of (sampling.seed, i). The generator is neither in checkpoints nor among DDP's parameters. `counts` holds
    the filter's statistics on this process.

    Args:
        generator: `car` (the shipped GAN), `car-world` (the procedural world), or a .safetensors file with its card
            (from `ganverse import-gan`).
        view_codes: view-code file. Default: NAME-views.yaml beside NAME.safetensors.
        resolution: image size in pixels after downscaling. Default: the generator's own.
        masks: `auto` uses exact masks in the car world, and the segmenter elsewhere.
        segmenter: weights of the segmenter. Default: NAME-segmenter.safetensors beside the generator, or the shipped
            one for cars.
        category: class that Mask R-CNN detects. For cars, evaluations also compare with the car world.
        world_views: number of view codes of the car world, a multiple of 12.
        renderer: a StyleGAN-R of this generator that synthesizes the images instead (further rounds of training).
        reader: the inverse network that `renderer` was trained with.
        sampling: definition of a sample.
        batch_size: objects per process and step, each with `sampling.views` images.
        validation_objects: number of held-out objects per validation.
    """

    def __init__(
        self,
        generator: str = "car",
        view_codes: Path | None = None,
        resolution: int | None = None,
        masks: MaskSource = "auto",
        segmenter: Path | None = None,
        category: Category = "car",
        world_views: int = 24,
        renderer: Path | None = None,
        reader: Path | None = None,
        sampling: SamplingSettings = SamplingSettings(),
        batch_size: int = 16,
        validation_objects: int = 64,
    ) -> None:
        super().__init__(batch_size, validation_objects)
        self.sampling = sampling
        self.counts = FilterCounts()  # images kept and rejected so far on this process
        self.source_settings = SourceSettings(
            generator, view_codes, resolution, masks, segmenter, category, world_views, renderer, reader
        )

    @cached_property
    def source(self) -> Source:
        """The generator with its views and masks."""
        return open_source(self.source_settings)

    @cached_property
    def sampler(self) -> MultiViewSampler:
        """Draws the samples."""
        return self.source.sampler(self.sampling)

    @property
    def azimuth_degrees(self) -> tuple[float, ...]:
        """Annotated azimuths of the view codes."""
        return tuple(self.source.codes.azimuth_degrees.tolist())

    @property
    def resolution(self) -> int:
        """Image size after downscaling."""
        return self.source.generator.resolution

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of weights, view codes and sampling settings."""
        return {**self.source.fingerprints, "samples": self.sampler.fingerprint}

    @property
    def known_cameras(self) -> CameraTable | None:
        """The cameras of a StyleGAN-R, which renders exactly the cameras it gets."""
        rerendering = self.source.rerendering
        return None if rerendering is None else rerendering.reader.cameras

    def predict_dataloader(self) -> Any:
        """Indices of the samples that `DatasetGeneration` still has to write."""
        module = None if self.trainer is None else self.trainer.lightning_module
        return [] if module is None else module.predict_dataloader()

    def make(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> MultiViewBatch:
        """See `MultiViewData.make`."""
        return self.draw(indices, device).batch

    def draw(self, indices: Int[Tensor, " batch"], device: torch.device | str | None = None) -> Drawn:
        """The samples of these indices with their rejected attempts; always in float32."""
        where = torch.device(device or indices.device)
        with torch.autocast(where.type, enabled=False):
            drawn = self.sampler.to(where).draw(indices)
        self.counts += drawn.counts
        return drawn
