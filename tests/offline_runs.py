"""Reads what an offline W&B run has on disk: the records that `wandb sync` would send, without a server."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7
FULL, FIRST, LAST = 1, 2, 4


def finished_run(folder: Path, patience: float = 300.0) -> Path:
    """The one offline run below a stage's folder, once wandb's own process has written its last record."""
    (run,) = folder.glob("wandb/offline-run-*")
    end = time.monotonic() + patience
    while "exit" not in {record.WhichOneof("record_type") for record in records(run)}:
        assert time.monotonic() < end, f"{run} has no end"
        time.sleep(0.1)
    return run


def records(run: Path) -> Iterator[Record]:
    """All records of a run directory, in order; the file is a LevelDB log behind seven bytes of its own."""
    (path,) = run.glob("run-*.wandb")
    data, position, parts = path.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # what is left of a block is padding
            position += BLOCK - position % BLOCK
            continue
        checksum, length = int.from_bytes(data[position : position + 4], "little"), data[position + 4]
        length += 256 * data[position + 5]
        kind, chunk = data[position + 6], data[position + HEADER : position + HEADER + length]
        assert checksum == zlib.crc32(bytes([kind]) + chunk), "a damaged record"
        parts = chunk if kind in (FULL, FIRST) else parts + chunk
        if kind in (FULL, LAST):
            yield Record.FromString(parts)
        position += HEADER + length


def history(run: Path) -> list[dict]:
    """What was logged, one mapping per call."""
    return [_nested(record) for record in records(run) if record.WhichOneof("record_type") == "history"]


def _nested(record: Record) -> dict:
    line: dict = {}
    for item in record.history.item:
        *path, last = item.nested_key or [item.key]
        inner = line
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = json.loads(item.value_json)
    return line


def step_axes(run: Path) -> dict[str, str]:
    """The step metric of every definition of metrics, by the name or pattern it is for."""
    metrics = [record.metric for record in records(run) if record.WhichOneof("record_type") == "metric"]
    return {metric.name or metric.glob_name: metric.step_metric for metric in metrics}
