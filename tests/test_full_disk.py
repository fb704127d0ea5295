"""A disk without room: files that belong together are all written, or all stay as they were."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.data.multi_view_folder import FolderWriter
from ganverse.data.sampling import MultiViewSampler
from ganverse.data.shards import ShardPlan, write_shard
from ganverse.data.sources import SourceSettings, open_source
from ganverse.errors import GanverseError
from ganverse.evaluation.figures import Figure
from ganverse.evaluation.report import Report, write_report
from ganverse.export import save_mesh
from ganverse.geometry.meshes import sphere_template
from ganverse.training.checkpoint import TimedCheckpoint
from tests import pipeline_toys as toys
from tests.reconstruction.toys import save_photo, save_weights
from tests.tasks.toys import AZIMUTHS, Files, stream, trainer
from tests.training.lines import Line, Numbers


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may become larger than `size` bytes, says the kernel."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mesh(ending: str) -> Callable[[Path, Files], object]:
    return lambda folder, _: save_mesh(sphere_template(2), torch.rand(3, 32, 32), folder / f"car{ending}")


def weights(folder: Path, files: Files) -> None:
    toys.save_segmenter(folder / "any.safetensors")


def shard(folder: Path, files: Files) -> None:
    settings = SourceSettings(str(files.generator), segmenter=files.segmenter)
    source = open_source(settings)
    sampler = MultiViewSampler(source.generator, source.codes, source.masker, stream(files).sampling)
    plan = ShardPlan(folder, 2, 2, "any", AZIMUTHS, settings)
    write_shard(plan, 0, sampler.draw(torch.arange(2)))


def sample(folder: Path, files: Files) -> None:
    FolderWriter(folder, AZIMUTHS).write(stream(files).preview(1))


def report(folder: Path, files: Files) -> None:
    figure = Figure("views", "Views", "noise", Image.effect_noise((64, 64), 99).convert("RGB"))
    write_report(Report(figures=[figure], meshes={"a.glb": b"glTF"}), folder, {"metrics.json": b"{}"})


def checkpoint(folder: Path, files: Files) -> None:
    keep = TimedCheckpoint(folder, every_n_train_steps=1)
    made = trainer(folder, max_steps=1, limit_val_batches=0, enable_checkpointing=True, callbacks=[keep])
    made.fit(Line(), Numbers())


WRITERS = {ending: mesh(ending) for ending in (".glb", ".obj", ".usda", ".usdc", ".usdz")}
WRITERS |= {made.__name__: made for made in (weights, shard, sample, report, checkpoint)}


@pytest.mark.parametrize("kind", WRITERS)
def test_all_or_nothing(kind: str, files: Files, tmp_path: Path) -> None:
    if kind.startswith(".usd"):
        pytest.importorskip("pxr")
    old, new, write = tmp_path / "old", tmp_path / "new", WRITERS[kind]
    write(old, files)
    before = contents(old)
    largest = max(map(len, before.values()))
    for folder in (old, new):
        with room_for(largest - 1), pytest.raises((OSError, GanverseError), match=r"large|disk space"):
            write(folder, files)
    assert contents(old) == before
    assert set(contents(new)) <= {"views.yaml"}, "of a folder of samples, which is resumed"


def test_a_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, photo = save_weights(tmp_path / "net.safetensors"), save_photo(tmp_path / "photo.png")
    before = contents(tmp_path)
    with room_for(10_000):
        status = cli.main(["reconstruct", str(photo), "-o", str(tmp_path / "a.obj"), "--weights", str(network)])
    assert status == cli.BAD_INPUT
    said = "ganverse: expected free disk space, got: File too large; free some, then run the command again\n"
    assert capsys.readouterr().err.endswith(said)
    assert contents(tmp_path) == before
