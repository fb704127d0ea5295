"""Every reader of files that others have made, with a proper file of each kind and ways to spoil it.

`python -m tests.fuzz_readers SECONDS` runs all of them for so long and prints inputs, crashes, worst time and memory.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from scipy.io import loadmat, savemat

from ganverse.apps.annotate import _decisions
from ganverse.apps.server import parse_json
from ganverse.apps.studio import look_of
from ganverse.data.multi_view_folder import MultiViewFolder
from ganverse.data.shards import ShardPlan, ShardReader, read_plan, write_manifest, write_shard
from ganverse.data.sources import SourceSettings, open_source
from ganverse.data.world_images import WorldImages
from ganverse.errors import GanverseError
from ganverse.evaluation.models import models_of_run
from ganverse.evaluation.photographs import Pascal3D
from ganverse.generators.weights import load_generator
from ganverse.importing.importer import recognize
from ganverse.inverse.weights import load_inverse
from ganverse.io import read_image_with_alpha, read_mask
from ganverse.training.pipeline import read_pipeline
from ganverse.viewpoints.view_codes import ViewCodes
from tests.evaluation.pascal3d_tree import save_polygons, save_tree
from tests.importing_toys import (
    ada_content,
    ada_names,
    pickled,
    port_names,
    rosinality_content,
    stylegan1,
    stylegan2,
    tensorflow2,
    torch_saved,
)
from tests.inverse.test_weights import saved, saved_checkpoint
from tests.pipeline_toys import pipeline, save_gan

STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 2**31, 10**12, 10**30, -(2**63), 0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "../../etc/passwd",
        "x" * 5000,
        "\x00",
        "ä\u202e",
        "1e9",
        [],
        {},
        [[]],
        {"": {}},
        [None] * 50,
        [[1] * 9] * 9,
    ),
)


@dataclass(frozen=True)
class Reader:
    """read: what is to give a result or a GanverseError. spoil: makes the next files of it, in a folder of its own."""

    read: Callable[[], object]
    spoil: Callable[[random.Random], None]


def spoiled_bytes(data: bytes, source: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or put elsewhere."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 5, 30))):
        place = source.randrange(len(changed) + 1)
        kind = source.randrange(7)
        if kind < 3 and place < len(changed):
            changed[place] = source.choice((0, 1, 127, 128, 255, source.randrange(256), changed[place] ^ 1))
        elif kind == 3:
            del changed[place : place + source.choice((1, 4, 100, len(changed)))]
        elif kind == 4:
            changed[place:place] = changed[place : place + source.choice((1, 8, 400))]
        elif kind == 5:
            changed[place : place + 4] = source.choice(
                (b"\xff" * 4, bytes(4), b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f")
            )
        else:
            start = source.randrange(len(changed) + 1)
            changed[place : place + 64] = changed[start : start + 64]
    return bytes(changed)


def spoiled_tree(document: Any, source: random.Random) -> Any:
    """A document with one or a few of its parts exchanged, removed or added."""
    changed = copy.deepcopy(document)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        node: Any = changed
        while isinstance(node, (dict, list)) and node:
            key = source.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], (dict, list)) or not node[key] or source.random() < 0.3:
                break
            node = node[key]
        else:
            return source.choice(STRANGE)
        kind = source.randrange(6)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        else:
            node[key] = copy.deepcopy(source.choice(STRANGE))
    return changed


def files(folder: Path, originals: dict[str, bytes], share: float = 1.0) -> Callable[[random.Random], None]:
    """Spoils the bytes of one of the files, all others are proper."""

    def spoil(source: random.Random) -> None:
        chosen = source.choice(list(originals))
        for name, data in originals.items():
            (folder / name).write_bytes(spoiled_bytes(data, source) if name == chosen else data)

    return spoil


def document(
    path: Path, value: Any, write: Callable[[Any], bytes], share: float = 0.75
) -> Callable[[random.Random], None]:
    """Spoils a document in its tree or in its bytes."""

    def spoil(source: random.Random) -> None:
        while True:
            tree = source.random() < share
            try:
                data = write(spoiled_tree(value, source) if tree else value)
            except Exception:  # noqa: BLE001 - no such file can be written
                continue
            path.write_bytes(data if tree else spoiled_bytes(data, source))
            return

    return spoil


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value).encode()


def as_torch(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def as_matlab(value: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, value)
    return buffer.getvalue()


def pictures(folder: Path) -> Iterator[tuple[str, Reader]]:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 4), dtype=np.uint8)
    for kind in ("png", "jpg", "webp", "bmp", "tiff", "gif"):
        path, buffer = folder / f"a.{kind}", io.BytesIO()
        picture = Image.fromarray(pixels)
        (picture.convert("RGB") if kind == "jpg" else picture).save(buffer, {"jpg": "jpeg"}.get(kind, kind))
        for name, read in (("picture", read_image_with_alpha), ("mask", read_mask)):
            yield f"{name}.{kind}", Reader(lambda r=read, p=path: r(p), files(folder, {path.name: buffer.getvalue()}))


def weights(folder: Path) -> Iterator[tuple[str, Reader]]:
    saved(folder / "inverse.safetensors")
    generator = save_gan(folder)
    for path, load in ((folder / "inverse.safetensors", load_inverse), (generator, load_generator)):
        card, data = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
        yield (
            f"card of {path.stem}",
            Reader(lambda r=load, p=path: r(p), document(path.with_suffix(".json"), card, as_json)),
        )
        other = folder / f"other-{path.name}"

        def spoil(source: random.Random, card: Any = card, data: bytes = data, other: Path = other) -> None:
            spoiled = spoiled_bytes(data[: 8 + int.from_bytes(data[:8], "little")], source) + data[-100:]
            other.write_bytes(source.choice((spoiled, spoiled_bytes(data, source))))
            pinned = {**card, "sha256": hashlib.sha256(other.read_bytes()).hexdigest()}
            other.with_suffix(".json").write_text(json.dumps(pinned))

        yield f"safetensors of {path.stem}", Reader(lambda r=load, p=other: r(p), spoil)
    saved_checkpoint(folder / "last.ckpt")
    content = torch.load(folder / "last.ckpt", weights_only=True)
    path = folder / "other.ckpt"
    yield "checkpoint", Reader(lambda: load_inverse(path), document(path, content, as_torch, 0.6))


def view_codes(folder: Path) -> Iterator[tuple[str, Reader]]:
    save_gan(folder)
    path, views = folder / "v.yaml", yaml.safe_load((folder / "toy-views.yaml").read_text())
    yield "view codes", Reader(lambda: ViewCodes.load(path), document(path, views, as_yaml))


def pipelines(folder: Path) -> Iterator[tuple[str, Reader]]:
    content = json.loads(pipeline(folder, folder / "gan.safetensors").read_text())
    path, run = folder / "p.yaml", folder / "run"
    yield "pipeline", Reader(lambda: [s.fingerprint for s in read_pipeline(path)], document(path, content, as_yaml))
    (run / "inverse").mkdir(parents=True)
    (run / "inverse" / "inverse.safetensors").touch()
    init = {"generator": "car", "resolution": 16, "sampling": {"views": 2, "filter": {"smallest_area": 0.1}}}
    config = {
        "data": {"class_path": "ganverse.data.MultiViewStream", "init_args": init},
        "model": {"class_path": "os.system"},
    }
    yield (
        "run directory",
        Reader(lambda: models_of_run(run), document(run / "inverse" / "config.yaml", config, as_yaml)),
    )


def imports(folder: Path) -> Iterator[tuple[str, Reader]]:
    seeds = {
        "NVIDIA": pickled(ada_content(ada_names(stylegan2()))),
        "rosinality": torch_saved(rosinality_content(stylegan2(), training=True)),
        "old": torch_saved(port_names(stylegan1()), zipped=False),
        "TensorFlow": pickled(tensorflow2(stylegan2()), 2),
    }
    for name, data in seeds.items():
        path = folder / f"{name}.pkl"
        yield f"import {name}", Reader(lambda p=path: recognize(p.read_bytes()), files(folder, {path.name: data}))


def shards(folder: Path) -> Iterator[tuple[str, Reader]]:
    settings = SourceSettings("car-world", resolution=16, world_views=12)
    source = open_source(settings)
    sampler = source.sampler(_small_sampling())
    plan = ShardPlan(folder, 3, 2, sampler.fingerprint, tuple(source.codes.azimuth_degrees.tolist()), settings)
    for shard in range(plan.shards):
        write_shard(plan, shard, sampler.draw(torch.tensor(list(plan.indices(shard)))))
    path = write_manifest(plan)
    manifest, tar = json.loads(path.read_text()), plan.tar(0)
    record = tar.with_suffix(".json")
    yield "manifest", Reader(lambda: ShardReader(read_plan(folder)).batch([0, 1, 2]), document(path, manifest, as_json))
    facts = json.loads(record.read_text())
    yield "record of a shard", Reader(lambda: plan.record(0), document(record, facts, as_json))
    yield "shard", Reader(lambda: ShardReader(plan).batch([0, 1]), files(folder, {tar.name: tar.read_bytes()}))


def _small_sampling() -> Any:
    from ganverse.data.sampling import SamplingSettings

    return SamplingSettings(attempts=1, block=4)


def folders(folder: Path) -> Iterator[tuple[str, Reader]]:
    for number in range(2):
        (folder / f"object{number}").mkdir()
        for view in ("front", "side"):
            Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / f"object{number}" / f"{view}.png")
    yield (
        "views of a folder",
        Reader(
            lambda: MultiViewFolder(folder, validation_objects=1),
            document(folder / "views.yaml", {"front": 0, "side": 90.5}, as_yaml),
        ),
    )
    path, buffer = folder / "cars.npy", io.BytesIO()
    np.save(buffer, np.zeros((2, 3, 8, 8), np.uint8))
    yield (
        "images of the car world",
        Reader(
            lambda: WorldImages(path, images=2, resolution=8, batch_size=1).train_dataloader(),
            files(folder, {path.name: buffer.getvalue()}),
        ),
    )


def pascal3d(folder: Path) -> Iterator[tuple[str, Reader]]:
    save_tree(folder)
    path = folder / "Annotations" / "car_pascal" / "2008_000002.mat"
    record = {"record": loadmat(path, simplify_cells=True)["record"]}

    def read(masks: Path | None = None) -> None:
        data = Pascal3D(folder, masks=masks)
        for index in range(len(data.objects)):
            data.load(index)

    yield "Pascal3D+ record", Reader(read, document(path, record, as_matlab))
    polygons = save_polygons(folder / "car.mat")
    other = folder / "other.mat"
    segmentations = {"segmentations": loadmat(polygons, simplify_cells=True)["segmentations"]}
    yield "polygons", Reader(lambda: read(other), document(other, segmentations, as_matlab))


def pages(folder: Path) -> Iterator[tuple[str, Reader]]:
    scene = {"shape": "0", "texture": "1", "background": "2", "azimuth": 40, "elevation": 10, "scale": 1}
    decisions = {"revision": "a", "decisions": [{"seed": 3, "azimuth": 20.5, "drop": False}, {"seed": 4, "drop": True}]}
    for name, value, use in (("studio", scene, look_of), ("annotation", decisions, _decisions)):
        path = folder / name
        yield name, Reader(lambda p=path, u=use: u(parse_json(p.read_bytes())), document(path, value, as_json))


ROOMS = (pictures, weights, view_codes, pipelines, imports, shards, folders, pascal3d, pages)


def readers(folder: Path) -> dict[str, Reader]:
    """All of them, each room's files in a folder of its own."""
    found: dict[str, Reader] = {}
    for room in ROOMS:
        (folder / room.__name__).mkdir()
        found.update(room(folder / room.__name__))
    return found


def attempt(reader: Reader, source: random.Random) -> float:
    """Reads one spoiled file; the processor time it took."""
    reader.spoil(source)
    start = time.process_time()
    try:
        reader.read()
    except GanverseError as error:
        if len(str(error)) > 1500 or "\n" in str(error):
            raise AssertionError("expected one sentence") from error
    return time.process_time() - start


def _peak() -> int:
    """Peak memory in kB since the last reset (Linux)."""
    (found,) = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    Path("/proc/self/clear_refs").write_text("5")
    return int(found)


def main(seconds: float) -> None:
    """Prints a line per reader, and the traceback of each new kind of crash."""
    with tempfile.TemporaryDirectory() as name:
        found = readers(Path(name))
        for kind, reader in found.items():
            source, end = random.Random(kind), time.monotonic() + seconds / len(found)
            inputs, worst, most, crashes = 0, 0.0, 0, dict[str, str]()
            _peak()
            before = _peak()
            while time.monotonic() < end:
                inputs += 1
                try:
                    worst = max(worst, attempt(reader, source))
                except Exception as error:  # noqa: BLE001
                    crashes.setdefault(f"{type(error).__name__}: {error}"[:60], traceback.format_exc(limit=-4)[-3000:])
                most = max(most, _peak() - before)
            print(
                f"{kind:28} {inputs:7} inputs {len(crashes)} crashes {worst:6.2f} s {most / 1024:7.0f} MB", flush=True
            )
            for text in crashes.values():
                print(text, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
