"""Stage 1 on disk: write the multi-view samples as shards, on any number of processes, through `trainer.predict`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from jaxtyping import Int
from torch import Tensor

from ganverse.data.contact_sheet import contact_sheet, stack_pictures
from ganverse.data.sampling import Sampler
from ganverse.data.shards import MANIFEST, ShardPlan, ShardReader, ShardRecord, write_manifest, write_shard
from ganverse.io import save_image

SHEET_COLUMNS, SHEET_ROWS = 16, 8


class UnfinishedShards:
    """Sample indices of every shard that is still to be made and belongs to this rank (shard number modulo world).

    Without a length on purpose: a rank with nothing left to do is no mistake.
    """

    def __init__(self, plan: ShardPlan, rank: int, world: int) -> None:
        self.plan = plan
        self.shards = [shard for shard in range(rank, plan.shards, world) if plan.record(shard) is None]

    def __iter__(self) -> Iterator[Int[Tensor, " batch"]]:
        return (torch.tensor(list(self.plan.indices(shard))) for shard in self.shards)


class GenerationTask(pl.LightningModule):
    """One predict step makes one shard; finished shards are never made again, so an interrupted run continues.

    folder receives the shards (see `ganverse.data.shards`), and, when the last one is there, `manifest.json` with the
    counts of kept and dropped images, `kept.png` and `dropped.png` (images above, background dimmed below). A process
    needs no word from the others: whichever finishes the last shard writes the summary.

    samples: objects in all (paper: 6000 cars). per_shard: objects per shard, held in memory at once.
    """

    def __init__(self, sampler: Sampler, folder: str | Path, samples: int = 6000, per_shard: int = 128) -> None:
        super().__init__()
        self.sampler = sampler
        self.plan = ShardPlan(Path(folder), samples, per_shard, sampler.fingerprint)

    def predict_dataloader(self) -> UnfinishedShards:
        """What is left for this process."""
        return UnfinishedShards(self.plan, self.trainer.global_rank, self.trainer.world_size)

    def predict_step(self, batch: Int[Tensor, " batch"], batch_idx: int) -> ShardRecord:
        """Make the samples of one shard, write them and say what was written."""
        shard = int(batch[0]) // self.plan.per_shard
        drawn = self.sampler.to(batch.device).draw(batch, keep_dropped=SHEET_COLUMNS)
        if len(drawn.dropped_images) and shard < SHEET_ROWS:
            save_image(contact_sheet(drawn.dropped_images, drawn.dropped_masks), self._dropped(shard))
        azimuths = self.sampler.codes.azimuth_degrees.tolist()
        return write_shard(self.plan, shard, drawn.batch, azimuths, drawn.counts, int(drawn.forced.sum()))

    def on_predict_end(self) -> None:
        """Sum up, if no other process still works on a shard."""
        self._sum_up()

    def _dropped(self, shard: int) -> Path:
        return self.plan.folder / "dropped" / f"shard-{shard:06d}.png"

    def _sum_up(self) -> None:
        if (self.plan.folder / MANIFEST).exists() or None in map(self.plan.record, range(self.plan.shards)):
            return
        shown = range(min(self.plan.samples, SHEET_COLUMNS * SHEET_ROWS // self.sampler.settings.views))
        kept = ShardReader(self.plan).batch(shown)
        sheet = contact_sheet(kept.images.flatten(0, 1), kept.masks.flatten(0, 1))
        save_image(sheet, self.plan.folder / "kept.png")
        dropped = [path for path in map(self._dropped, range(self.plan.shards)) if path.exists()]
        if dropped:
            stack_pictures(dropped, self.plan.folder / "dropped.png")
        write_manifest(self.plan)
