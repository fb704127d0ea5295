"""Sample pictures: as files always, in Weights & Biases where its logger is used, which an offline run shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from ganverse.errors import GanverseError
from ganverse.export import glb_bytes
from ganverse.geometry.meshes import sphere_template
from ganverse.training.media import SampleLogger, log_files, save
from tests.offline_runs import finished_run, history
from tests.tasks import toys
from tests.training.lines import Line, Numbers


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "samples").iterdir())


def test_media_come_at_the_start_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="logs", flush_logs_every_n_steps=1)
    settings = {"logger": logger, "log_every_n_steps": 1, "limit_val_batches": 0}
    callbacks = [SampleLogger(every_n_train_steps=3)]
    toys.trainer(tmp_path, max_steps=4, callbacks=callbacks, **settings).fit(Line(), Numbers())
    slopes = [f"slope-{images:09d}.png" for images in (0, 12, 16)]
    assert [name for name in names(tmp_path) if name.startswith("slope")] == slopes
    assert "curves-000000016.png" in names(tmp_path)
    with Image.open(tmp_path / "samples" / slopes[-1]) as picture:
        assert picture.size == (8, 8)


def test_no_media_are_made_where_none_are_wanted(tmp_path: Path) -> None:
    for settings in ({"callbacks": [SampleLogger(0)]}, {"callbacks": [SampleLogger(1)], "fast_dev_run": True}):
        toys.trainer(tmp_path, max_steps=1, limit_val_batches=0, **settings).fit(Line(), Numbers())
    assert not (tmp_path / "samples").exists()
    with pytest.raises(GanverseError, match="objects to be at least 1"):
        SampleLogger(objects=0)


def test_held_out_objects_and_dropped_samples_are_shown(files: toys.Files, tmp_path: Path) -> None:
    data = toys.stream(files)
    trainer = toys.trainer(tmp_path, max_steps=1, limit_val_batches=0, callbacks=[SampleLogger(objects=3)])
    trainer.fit(toys.inverse(), datamodule=data)
    kinds = {name.rsplit("-", 1)[0] for name in names(tmp_path)}
    assert kinds == {"inverse", "object-1", "object-2", "camera-wheel", "dropped"}
    assert data.counts.images == 2 * (3 + 2), "the objects shown, and those of one step"
    assert data.samples_seen == 2, "what is shown is not counted as trained on"


def test_media_as_files(tmp_path: Path) -> None:
    assert save(torch.rand(3, 4, 4), tmp_path / "a").name == "a.png"
    mesh = glb_bytes(sphere_template(1), torch.rand(3, 4, 4))
    assert save(mesh, tmp_path / "a").read_bytes() == mesh


def test_what_an_offline_run_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, project="ganverse", offline=True)
    settings = {"logger": logger, "log_every_n_steps": 1, "limit_val_batches": 0}
    trainer = toys.trainer(tmp_path, max_steps=2, callbacks=[SampleLogger(every_n_train_steps=5)], **settings)
    trainer.fit(Line(), Numbers())
    mesh = save(glb_bytes(sphere_template(1), torch.rand(3, 4, 4)), tmp_path / "object")
    log_files({"object": mesh}, trainer)
    logger.experiment.finish()
    run = finished_run(tmp_path)
    lines = history(run)
    losses = [(line["images"], line["trainer/global_step"]) for line in lines if "loss" in line]
    assert losses == [(4, 0), (8, 1)]
    shown = {key: value["_type"] for line in lines for key, value in line.items() if isinstance(value, dict)}
    assert shown == {"media/slope": "image-file", "object": "object3D-file"}
    last = {key: value for line in lines for key, value in line.items()}
    stored = run / "files" / last["media/slope"]["path"]
    assert stored.read_bytes() == (tmp_path / "samples" / "slope-000000008.png").read_bytes()
