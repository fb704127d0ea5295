"""Stage 1 on disk: writes multi-view samples as shards or image folders, with any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.multi_view_folder import FolderWriter
from ganverse.data.sampling import Drawn
from ganverse.data.shards import MANIFEST, ShardPlan, ShardReader, total_counts, write_manifest, write_shard
from ganverse.data.sources import Source
from ganverse.errors import GanverseError
from ganverse.io import image_grid, save_image
from ganverse.random_streams import latents
from ganverse.training.charts import drop_chart
from ganverse.training.media import log_files
from ganverse.viewpoints.view_codes import mix_styles, view_styles

SHEET_COLUMNS, SHEET_ROWS = 16, 8
_CONTENT_SEED, _CONTENTS = 7, 6


class DatasetGeneration(pl.LightningModule):
    """Writes samples of a `MultiViewStream`; one predict step writes one file.

    Finished files are skipped, so an interrupted run resumes. Processes do not communicate: the last one to finish
    writes the summary. `output` also receives views.png (rows: objects, columns: view codes), kept.png and dropped.png
    (images above, background dimmed below).

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
        if min(samples, per_file) < 1:
            raise GanverseError(f"expected samples and per_file of at least 1, got {samples} and {per_file}")
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
        return self.stream.draw(batch, self.device, keep_dropped=SHEET_COLUMNS)

    def on_predict_start(self) -> None:
        """Writes views.png."""
        if self.trainer.is_global_zero:
            save_image(view_table(self.stream.source, _CONTENTS), self.output / "views.png")


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
        """Writes the file, and a sheet of its first rejected images."""
        plan = pl_module.plan
        shard = int(prediction.batch.sample_index[0]) // plan.per_shard
        if len(prediction.dropped_images) and shard < SHEET_ROWS:
            sheet = contact_sheet(prediction.dropped_images, prediction.dropped_masks)
            save_image(sheet, _dropped(plan, shard))
        write_shard(plan, shard, prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Writes the summary, unless another process still works on a file."""
        plan = pl_module.plan
        if (plan.folder / MANIFEST).exists() or None in map(plan.record, range(plan.shards)):
            return
        shown = range(min(plan.samples, SHEET_COLUMNS * SHEET_ROWS // pl_module.stream.sampling.views))
        kept = ShardReader(plan).batch(shown)
        save_image(contact_sheet(kept.images.flatten(0, 1), kept.masks.flatten(0, 1)), plan.folder / "kept.png")
        dropped = [path for path in (_dropped(plan, shard) for shard in range(plan.shards)) if path.exists()]
        if dropped:
            save_image(_stacked(dropped), plan.folder / "dropped.png")
        save_image(drop_chart(total_counts(plan)), plan.folder / "dropped-reasons.png")
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


def contact_sheet(
    images: Float[Tensor, "n 3 height width"], masks: Float[Tensor, "n 1 height width"], *, columns: int = SHEET_COLUMNS
) -> Float[Tensor, "3 sheet_height sheet_width"]:
    """Rows of images, each followed by the same images with a dimmed background; empty cells are black."""
    count, _, height, width = images.shape
    rows = max(1, -(-count // columns))
    padding = (0, 0, 0, 0, 0, 0, 0, rows * columns - count)
    pairs = torch.stack([images, images * (0.2 + 0.8 * masks)]).cpu()
    cells = F.pad(pairs, padding).view(2, rows, columns, 3, height, width)
    return cells.permute(3, 1, 0, 4, 2, 5).reshape(3, rows * 2 * height, columns * width)


@torch.no_grad()
def view_table(source: Source, contents: int) -> Float[Tensor, "3 height width"]:
    """Table of images in [0, 1]. Rows: objects. Columns: view codes by azimuth."""
    generator, codes = source.generator, source.codes
    order = codes.azimuth_degrees.argsort(stable=True)
    views = view_styles(generator, codes)[order]
    styles = generator.styles(generator.map(latents(_CONTENT_SEED, range(contents), generator.z_dim)))
    mixed = [mix_styles(content.expand(len(views), -1), views, codes.view_dims) for content in styles]
    rows = [generator.synthesize(row) for row in mixed]
    return image_grid(torch.cat(rows), len(views), zoom=max(1, 64 // generator.resolution))


def _dropped(plan: ShardPlan, shard: int) -> Path:
    return plan.folder / "dropped" / f"shard-{shard:06d}.png"


def _stacked(paths: list[Path]) -> Image.Image:
    """Stacks image files of equal width vertically."""
    pictures = [Image.open(path).convert("RGB") for path in paths]
    stacked = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        stacked.paste(picture, (0, top))
        top += picture.height
    return stacked
