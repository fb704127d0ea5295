import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganverse.data.multi_view_shards import MultiViewShards
from ganverse.data.sampling import MultiViewSampler
from ganverse.data.shards import ShardPlan, ShardReader, read_plan, write_manifest, write_shard
from ganverse.data.sources import SourceSettings
from ganverse.errors import GanverseError
from ganverse.io import from_bytes


def _write(sampler: MultiViewSampler, plan: ShardPlan) -> None:
    for shard in range(plan.shards):
        write_shard(plan, shard, sampler.draw(torch.tensor(list(plan.indices(shard)))))


def plan_of(sampler: MultiViewSampler, folder: Path) -> ShardPlan:
    azimuths = tuple(sampler.codes.azimuth_degrees.tolist())
    return ShardPlan(folder, 11, 4, sampler.fingerprint, azimuths, SourceSettings())


@pytest.fixture
def plan(sampler: MultiViewSampler, tmp_path: Path) -> ShardPlan:
    plan = plan_of(sampler, tmp_path / "shards")
    _write(sampler, plan)
    write_manifest(plan)
    return plan


def test_shards_hold_what_the_stream_makes_bit_for_bit(plan: ShardPlan, sampler: MultiViewSampler) -> None:
    order = [7, 0, 10, 3]
    stored = ShardReader(read_plan(plan.folder)).batch(order)
    made = sampler.draw(torch.tensor(order)).batch
    for name in ("images", "masks", "view_ids", "sample_index", "styles"):
        assert torch.equal(getattr(stored, name), getattr(made, name)), name


def test_the_same_samples_give_the_same_bytes(plan: ShardPlan, sampler: MultiViewSampler, tmp_path: Path) -> None:
    again = plan_of(sampler, tmp_path / "again")
    _write(sampler, again)
    for shard in range(plan.shards):
        assert plan.tar(shard).read_bytes() == again.tar(shard).read_bytes()


def test_the_manifest_sums_up(plan: ShardPlan) -> None:
    manifest = json.loads((plan.folder / "manifest.json").read_text())
    assert [entry["samples"] for entry in manifest["shards"]] == [4, 4, 3]
    first = manifest["shards"][0]
    assert hashlib.sha256((plan.folder / first["name"]).read_bytes()).hexdigest() == first["sha256"]
    counts = manifest["images"]
    looked_at = sum(counts[name] for name in ("kept", "no_object", "several_objects", "too_small"))
    assert looked_at >= 22
    assert counts["dropped_share"] == pytest.approx(1 - counts["kept"] / looked_at, abs=1e-5)


def test_every_member_of_a_shard_is_a_plain_file(plan: ShardPlan, sampler: MultiViewSampler) -> None:
    """As webdataset has it: members of one sample share the key before the first dot and follow each other."""
    made = sampler.draw(torch.arange(4)).batch
    with tarfile.open(plan.tar(0)) as tar:
        names = tar.getnames()
        facts = json.loads(tar.extractfile("000000002.json").read())
        picture = Image.open(tar.extractfile("000000002.view1.png")).convert("RGB")
    keys = [name.split(".")[0] for name in names]
    assert keys == sorted(keys)
    assert sorted(set(keys)) == [f"{index:09d}" for index in range(4)]
    assert (facts["sample"], facts["views"]) == (2, made.view_ids[2].tolist())
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(from_bytes(pixels), made.images[2, 1])


def test_a_finished_shard_is_known_and_an_unfinished_one_is_not(plan: ShardPlan) -> None:
    record = plan.record(1)
    assert record is not None
    assert record.samples == 4
    plan.tar(1).with_suffix(".json").unlink()
    assert plan.record(1) is None
    with pytest.raises(GanverseError, match="expected 3 shards"):
        write_manifest(plan)


def test_what_killed_writers_left_goes_with_the_next_one(plan: ShardPlan, sampler: MultiViewSampler) -> None:
    left_over = [plan.folder / f".{plan.tar(1).stem}.{kind}.4711.tmp" for kind in ("tar", "json")]
    stranger = plan.folder / ".notes.txt.4711.tmp"
    for path in (*left_over, stranger):
        path.write_bytes(b"half")
    _write(sampler, plan)
    assert not any(path.exists() for path in left_over)
    assert stranger.exists()


def test_a_folder_of_another_recipe_is_refused(plan: ShardPlan) -> None:
    with pytest.raises(GanverseError, match="another folder"):
        replace(plan, fingerprint="horses").record(0)


def test_missing_shards_are_found(plan: ShardPlan, tmp_path: Path) -> None:
    with pytest.raises(GanverseError, match="generate"):
        read_plan(tmp_path)
    assert read_plan(plan.folder).samples == 11
    plan.tar(2).unlink()
    with pytest.raises(GanverseError, match="missing"):
        read_plan(plan.folder)


def exchange(tar: Path, member: str, data: bytes) -> None:
    """Puts other bytes into one member of a shard."""
    with tarfile.open(tar) as old:
        contents = {entry.name: old.extractfile(entry).read() for entry in old}
    with tarfile.open(tar, "w") as new:
        for name, content in {**contents, member: data}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data if name == member else content)
            new.addfile(entry, io.BytesIO(data if name == member else content))


def png(size: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("member", "data", "complaint"),
    [
        ("000000000.view0.png", b"no picture", "cannot be read"),
        ("000000000.mask1.png", png(16)[:40], "cannot be read"),
        ("000000000.mask1.png", png(8), "Error"),
        ("000000000.json", b"{", "JSONDecodeError"),
        ("000000000.styles.npy", b"", "EOFError|ValueError"),
    ],
    ids=["corrupt image", "truncated mask", "mask of another size", "corrupt facts", "no styles"],
)
def test_a_corrupt_sample_is_named(plan: ShardPlan, member: str, data: bytes, complaint: str) -> None:
    exchange(plan.tar(0), member, data)
    with pytest.raises(GanverseError, match=rf"sample 0 in .*shard-000000.tar.*({complaint})"):
        ShardReader(plan).batch([0])
    with pytest.raises(GanverseError, match="run generation again"):
        MultiViewShards(plan.folder, batch_size=2, validation_objects=2).setup("fit")


def test_masks_that_do_not_fit_their_images(plan: ShardPlan) -> None:
    for view in (0, 1):
        exchange(plan.tar(0), f"000000000.mask{view}.png", png(8))
    with pytest.raises(GanverseError, match=r"masks of \(8, 8\) for images of \(16, 16\)"):
        ShardReader(plan).batch([0])


def flat_png(*size: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "png")
    return buffer.getvalue()


def npy(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(shape, np.float32))
    return buffer.getvalue()


MEMBERS = {
    "a PNG bomb": ("view0.png", flat_png(9000, 9000)),
    "another size": ("view1.png", flat_png(8, 8)),
    "a JPEG bomb by name": ("view0.png", b"\xff\xd8\xff" + bytes(100)),
    "styles of another shape": ("styles.npy", npy((5, 3))),
    "styles of a trillion numbers": ("styles.npy", npy((2, 3)).replace(b"(2, 3), }", b"(2, 10**12), }")),
    "styles that are a pickle": ("styles.npy", b"\x80\x04K\x01."),
    "views beyond the last": ("json", b'{"views": [0, 99999]}'),
    "views that are words": ("json", b'{"views": ["a", "b"]}'),
    "views without end": ("json", b'{"views": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "no views": ("json", b'{"views": []}'),
    "a list": ("json", b"[]"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_hostile_samples_are_one_sentence(kind: str, plan: ShardPlan) -> None:
    name, data = MEMBERS[kind]
    path = plan.tar(0)
    with tarfile.open(path) as tar:
        files = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    with tarfile.open(path, "w") as tar:
        for member, content in {**files, f"000000000.{name}": data}.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(GanverseError, match=r"^expected sample 0 in [^\n]{20,500}$"):
        ShardReader(plan).batch([0])


MANIFESTS = {
    "a list": [],
    "samples that are a word": {"samples": "many"},
    "less than no samples": {"samples": -1},
    "samples without end": {"samples": 10**30},
    "no shards": {"shards": []},
    "azimuths that are words": {"azimuth_degrees": ["north"]},
    "an infinite azimuth": {"azimuth_degrees": [float("inf")]},
    "no source": {"source": None},
    "a source that is a list": {"source": [1]},
    "a source of another type": {"source": {"generator": 7}},
    "a source with a word for a size": {"source": {"resolution": "large"}},
    "an unknown setting": {"source": {"magic": 1}},
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_hostile_manifests_are_one_sentence(kind: str, plan: ShardPlan) -> None:
    path, changes = plan.folder / "manifest.json", MANIFESTS[kind]
    manifest = changes if isinstance(changes, list) else {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(manifest))
    with pytest.raises(GanverseError, match=r"^expected [^\n]{20,500}$"):
        read_plan(plan.folder)
