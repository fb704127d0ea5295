"""Stage 1 on disk: writes multi-view samples as shards or image folders, with any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from jaxtyping import Int
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.multi_view_folder import FolderWriter
from ganverse.data.sampling import Drawn
from ganverse.data.shards import MANIFEST, ShardPlan, ShardReader, total_counts, write_manifest, write_shard
from ganverse.errors import AT_LEAST_1, GanverseError, check_ranges
from ganverse.evaluation.figures import aligned_views
from ganverse.io import image_grid, save_image
from ganverse.training.charts import drop_chart
from ganverse.training.media import log_files

SHEET_COLUMNS, SHEET_ROWS = 16, 8
_CONTENT_SEED, _CONTENTS = 7, 6


class DatasetGeneration(pl.LightningModule):
    """Writes samples of a `MultiViewStream`; one predict step writes one file.

    Finished files are skipped, so an interrupted run resumes. Processes do not communicate: the last one to finish
    writes the summary. `output` also receives views.png (rows: objects, columns: view codes), kept.png (each image
    beside a copy with a dimmed background) and dropped.png (number of rejected images by reason).

    Args:
        output: output folder.
        samples: number of objects (paper: 6000 cars, 1000 horses, 1000 birds).
        format: `shards` writes tar files for `MultiViewShards`, bit-identical to the stream; `folder` writes
            OBJECT/VIEW.png with masks for `MultiViewFolder`.
        per_file: objects per tar file, all in memory at once. An interrupted run loses at most one file.
    """

    def __init__(
        self, output: Path, samples: int = 6000, format: Literal["shards", "folder"] = "shards", per_file: int = 128
    ) -> None:
        super().__init__()
        check_ranges({"samples": samples, "per_file": per_file}, samples=AT_LEAST_1, per_file=AT_LEAST_1)
        self.output, self.samples, self.format, self.per_file = Path(output), samples, format, per_file

    @property
    def stream(self) -> MultiViewStream:
        """The trainer's DataModule.

        Raises:
            GanverseError: the DataModule is not a `MultiViewStream`.
        """
        stream = getattr(self.trainer, "datamodule", None)
        if not isinstance(stream, MultiViewStream):
            raise GanverseError(f"expected a MultiViewStream as the data, got {type(stream).__name__}")
        return stream

    @property
    def plan(self) -> ShardPlan:
        """The assignment of samples to files."""
        stream = self.stream
        return ShardPlan(
            self.output,
            self.samples,
            self.per_file,
            stream.sampler.fingerprint,
            stream.azimuth_degrees,
            stream.source_settings,
        )

    def configure_callbacks(self) -> list[pl.Callback]:
        """The writer for the chosen format."""
        return [ShardWriter() if self.format == "shards" else PictureWriter()]

    def setup(self, stage: str) -> None:
        """Checks the DataModule."""
        self.stream  # noqa: B018

    def predict_dataloader(self) -> UnfinishedFiles:
        """The files that this process still has to write."""
        plan, views = self.plan, self.stream.sampling.views
        if self.format == "folder":
            writer = FolderWriter(self.output, self.stream.azimuth_degrees)

            def finished(file: int) -> bool:
                return all(writer.has(index, views) for index in plan.indices(file))
        else:

            def finished(file: int) -> bool:
                return plan.record(file) is not None

        return UnfinishedFiles(plan, finished, self.trainer.global_rank, self.trainer.world_size)

    def predict_step(self, batch: Int[Tensor, " batch"], batch_idx: int) -> Drawn:
        """Generates the samples of one file."""
        return self.stream.draw(batch, self.device)

    def on_predict_start(self) -> None:
        """Writes views.png."""
        if self.trainer.is_global_zero:
            source = self.stream.source
            shown = aligned_views("gan-views", source, _CONTENTS, _CONTENT_SEED, columns=len(source.codes))
            save_image(shown.image, self.output / "views.png")


class UnfinishedFiles:
    """Sample indices of each unfinished file that belongs to this rank (file number modulo world size).

    Has no length on purpose: a rank may have nothing left to do.
    """

    def __init__(self, plan: ShardPlan, finished: Callable[[int], bool], rank: int, world: int) -> None:
        self.plan = plan
        self.files = [file for file in range(rank, plan.shards, world) if not finished(file)]

    def __iter__(self) -> Iterator[Int[Tensor, " batch"]]:
        return (torch.tensor(list(self.plan.indices(file))) for file in self.files)


class ShardWriter(BasePredictionWriter):
    """Writes one tar file per prediction, and at the end a manifest and contact sheets (see `ganverse.data.shards`)."""

    def __init__(self) -> None:
        super().__init__("batch")

    def write_on_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, prediction: Drawn, batch_indices: Any, batch: Any, *_: Any
    ) -> None:
        """Writes the file."""
        plan = pl_module.plan
        write_shard(plan, int(prediction.batch.sample_index[0]) // plan.per_shard, prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Writes the summary, unless another process still works on a file."""
        plan = pl_module.plan
        if (plan.folder / MANIFEST).exists() or None in map(plan.record, range(plan.shards)):
            return
        shown = range(min(plan.samples, SHEET_COLUMNS * SHEET_ROWS // pl_module.stream.sampling.views))
        kept = ShardReader(plan).batch(shown)
        pairs = torch.stack([kept.images, kept.images * (0.2 + 0.8 * kept.masks)], dim=2).flatten(0, 2)
        save_image(image_grid(pairs, SHEET_COLUMNS), plan.folder / "kept.png")
        save_image(drop_chart(total_counts(plan)), plan.folder / "dropped.png")
        write_manifest(plan)  # last, so that an interrupted summary is repeated
        log_files({f"media/{path.stem}": path for path in sorted(plan.folder.glob("*.png"))}, trainer)


class PictureWriter(BasePredictionWriter):
    """Writes one folder per object (see `ganverse.data.multi_view_folder`)."""

    def __init__(self) -> None:
        super().__init__("batch")

    def write_on_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, prediction: Drawn, batch_indices: Any, batch: Any, *_: Any
    ) -> None:
        """Writes the images."""
        FolderWriter(pl_module.output, pl_module.stream.azimuth_degrees).write(prediction.batch)
