"""Multi-view samples on disk: webdataset tar shards with a manifest.

A sample, named by its 9-digit index, has `view<k>.png` (RGB), `mask<k>.png` (gray), `json` (sample index, view ids,
azimuths in degrees) and `styles.npy` (w* of every view, float32). The stream is already quantized to 8 bits, so PNG is
lossless and shards equal the stream bit for bit. Tar headers have no time or owner, so the files are reproducible byte
for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.sampling import Drawn
from ganverse.data.sources import SourceSettings
from ganverse.errors import GanverseError, brief, quoted
from ganverse.io import png_bytes, read_image, read_json, read_mask, write_atomically, write_together
from ganverse.masks.filtering import FilterCounts
from ganverse.pretrained import build

MANIFEST = "manifest.json"
_MOST_SAMPLES = 10**9


@dataclass(frozen=True)
class ShardPlan:
    """Assignment of samples to shards: `samples` in total, `per_shard` in each except possibly the last.

    fingerprint: hash of everything the samples depend on. azimuth_degrees: of every view code. source: origin.
    """

    folder: Path
    samples: int
    per_shard: int
    fingerprint: str
    azimuth_degrees: tuple[float, ...]
    source: SourceSettings

    def __post_init__(self) -> None:
        counts = (self.samples, self.per_shard)
        if any(type(count) is not int or not 1 <= count <= _MOST_SAMPLES for count in counts):
            raise GanverseError(f"expected 1 to {_MOST_SAMPLES:,} samples and as many per shard, got {quoted(counts)}")

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.per_shard)

    @property
    def held_back(self) -> range:
        """The last samples, held out from training: an eighth, at most 64."""
        return range(self.samples - min(self.samples // 8, 64), self.samples)

    def indices(self, shard: int) -> range:
        """Sample indices of a shard."""
        return range(shard * self.per_shard, min((shard + 1) * self.per_shard, self.samples))

    def tar(self, shard: int) -> Path:
        """Path of a shard."""
        return self.folder / f"shard-{shard:06d}.tar"

    def record(self, shard: int) -> ShardRecord | None:
        """Record of a finished shard; None if unfinished.

        GanverseError if the folder holds a shard with another fingerprint or size.
        """
        path = self.tar(shard).with_suffix(".json")
        if not path.exists() or not self.tar(shard).exists():
            return None
        record = build(ShardRecord, read_json(path, "the record of a shard"))
        if record.fingerprint != self.fingerprint or record.samples != len(self.indices(shard)):
            raise GanverseError(
                f"expected {self.folder} to be empty or to hold shards of {self.fingerprint}, but {path.name} holds "
                f"{record.samples} samples of {quoted(record.fingerprint)}; choose another folder or delete it"
            )
        return record


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: file name, sha256, samples and fingerprint.

    counts: images kept and rejected. forced: samples kept although every attempt was rejected.
    """

    name: str
    sha256: str
    samples: int
    fingerprint: str
    counts: FilterCounts
    forced: int


def write_shard(plan: ShardPlan, shard: int, drawn: Drawn) -> ShardRecord:
    """Writes a shard atomically, its record last (a shard without a record is written again).

    Each shard has one writer, so its temporary files belong to killed writers and are removed.
    """
    batch, buffer = drawn.batch, io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in range(len(batch)):
            for name, data in _members(batch, row, plan.azimuth_degrees):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    record = ShardRecord(
        plan.tar(shard).name,
        hashlib.sha256(data).hexdigest(),
        len(batch),
        plan.fingerprint,
        drawn.counts,
        int(drawn.forced.sum()),
    )
    for left_over in plan.tar(shard).parent.glob(f".{plan.tar(shard).stem}.*.tmp"):
        left_over.unlink(missing_ok=True)
    archive = plan.tar(shard)
    write_together({archive: data, archive.with_suffix(".json"): (json.dumps(asdict(record)) + "\n").encode()})
    return record


def write_manifest(plan: ShardPlan) -> Path:
    """Writes the summary of all finished shards; GanverseError if one is missing."""
    records = [plan.record(shard) for shard in range(plan.shards)]
    finished = [record for record in records if record is not None]
    if len(finished) < plan.shards:
        raise GanverseError(
            f"expected {plan.shards} shards in {plan.folder}, got {len(finished)}; run generation again"
        )
    total = total_counts(plan)
    manifest = {
        "fingerprint": plan.fingerprint,
        "samples": plan.samples,
        "per_shard": plan.per_shard,
        "azimuth_degrees": plan.azimuth_degrees,
        "source": asdict(plan.source),
        "images": {**asdict(total), "dropped_share": round(total.dropped_share, 6)},
        "forced_samples": sum(record.forced for record in finished),
        "shards": [{"name": r.name, "samples": r.samples, "sha256": r.sha256} for r in finished],
    }
    path = plan.folder / MANIFEST
    write_atomically(path, (json.dumps(manifest, indent=1, default=str) + "\n").encode())
    return path


def total_counts(plan: ShardPlan) -> FilterCounts:
    """Total number of images kept and dropped, by reason, over the finished shards."""
    records = map(plan.record, range(plan.shards))
    return sum((record.counts for record in records if record is not None), FilterCounts())


def read_plan(folder: Path) -> ShardPlan:
    """The plan of a finished folder; GanverseError if it has no finished shards or one is missing."""
    path = folder / MANIFEST
    if not path.is_file():
        raise GanverseError(f"expected finished shards with a {MANIFEST} in {folder}, got none; generate them")
    manifest = read_json(path, "the shards")
    try:
        facts = {name: manifest[name] for name in ("samples", "per_shard", "fingerprint", "azimuth_degrees", "source")}
        plan = build(ShardPlan, facts, {"folder": folder})
        if len(manifest["shards"]) != plan.shards or not np.isfinite(plan.azimuth_degrees).all():
            raise ValueError("another number of shards, or invalid azimuths")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, GanverseError) as error:
        raise GanverseError(
            f"expected {path} in this version's format, got another ({brief(error)}); generate the shards again"
        ) from error
    for path in map(plan.tar, range(plan.shards)):
        if not path.is_file():
            raise GanverseError(f"expected {path} as in the manifest, but it is missing; run generation again")
    return plan


def _members(batch: MultiViewBatch, row: int, azimuths: Sequence[float]) -> Iterator[tuple[str, bytes]]:
    index = int(batch.sample_index[row])
    key, views = f"{index:09d}", batch.view_ids[row].tolist()
    for view in range(len(views)):
        yield f"{key}.view{view}.png", png_bytes(batch.images[row, view])
        yield f"{key}.mask{view}.png", png_bytes(batch.masks[row, view])
    styles = io.BytesIO()
    np.save(styles, batch.styles[row].cpu().numpy())
    yield f"{key}.styles.npy", styles.getvalue()
    facts = {"sample": index, "views": views, "azimuth_degrees": [azimuths[view] for view in views]}
    yield f"{key}.json", json.dumps(facts).encode()


class ShardReader:
    """Random access to the samples of a finished folder: indexes each shard once, then reads by offset."""

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self._members: dict[int, dict[str, dict[str, tuple[int, int]]]] = {}

    def batch(self, samples: Sequence[int]) -> MultiViewBatch:
        """The given samples, in order.

        GanverseError if one is unreadable or inconsistent.
        """
        rows = [self._sample(sample) for sample in samples]
        if len({tuple(part.shape for part in row) for row in rows}) > 1:
            raise GanverseError(f"expected samples of one shape in {self.plan.folder}, got several; generate again")
        images, masks, view_ids, styles = (torch.stack(part) for part in zip(*rows, strict=True))
        return MultiViewBatch(images, masks, view_ids, torch.tensor(list(samples)), styles)

    def _sample(self, sample: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        try:
            return self._decoded(sample)
        except Exception as error:  # tarfile, Pillow and numpy raise anything for a damaged file
            path = self.plan.tar(sample // self.plan.per_shard)
            raise GanverseError(
                f"expected sample {sample} in {path} as generated, got {type(error).__name__}: "
                f"{brief(error)}; delete this shard and its .json and run generation again"
            ) from error

    def _decoded(self, sample: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        files = self._files(sample)
        views = json.loads(files["json"])["views"]
        images = torch.stack([read_image(files[f"view{k}.png"]) for k in range(len(views))])
        masks = torch.stack([read_mask(files[f"mask{k}.png"]) for k in range(len(views))])
        styles = torch.from_numpy(np.load(io.BytesIO(files["styles.npy"])))
        shape = (len(views), 3, *masks.shape[-2:])
        if images.shape != shape or masks.shape[1] != 1 or len(styles) != len(views) or not views:
            raise ValueError(f"masks of {tuple(masks.shape[-2:])} for images of {tuple(images.shape[-2:])}")
        if not all(type(view) is int and 0 <= view < len(self.plan.azimuth_degrees) for view in views):
            raise ValueError(f"views {quoted(views)}")
        return images, masks, torch.tensor(views), styles.float()

    def _files(self, sample: int) -> dict[str, bytes]:
        shard = sample // self.plan.per_shard
        if shard not in self._members:
            self._members[shard] = _table_of_contents(self.plan.tar(shard))
        with self.plan.tar(shard).open("rb") as file:
            return {name: _read(file, *where) for name, where in self._members[shard][f"{sample:09d}"].items()}


def _table_of_contents(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Offset and size of the data, per sample and file name."""
    contents: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            key, name = member.name.split(".", 1)
            contents.setdefault(key, {})[name] = (member.offset_data, member.size)
    return contents


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
