"""Dashboards without an account: what an offline run holds is read back from its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganverse.export import glb_bytes
from ganverse.geometry.meshes import sphere_template
from ganverse.training.media import Sheet, Solid, publish
from ganverse.training.weights_and_biases import STEP, Dashboard, wandb_mode
from tests.offline_runs import finished_run, history, records, step_axes


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_a_run_never_waits_for_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert wandb_mode() == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x")
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"


def test_what_an_offline_run_holds(tmp_path: Path) -> None:
    folder, seen = tmp_path / "car" / "inverse", 8
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 3\n")
    board = Dashboard(folder, lambda: seen)
    board.log_metrics({"loss/total": 0.5, "epoch": 0}, step=1)
    seen = 16
    board.log_metrics({"loss/total": 0.25}, step=2)
    mesh = sphere_template(1)
    media = {
        "table": torch.rand(3, 8, 12),
        "object": Solid(glb_bytes(mesh, torch.rand(3, 4, 4))),
        "numbers": Sheet(("number", "value"), (("gan/iou", 0.9), ("gan/flips", 0.0))),
    }
    publish(media, folder / "samples", seen, [board])
    board.finalize("success")

    run = finished_run(folder)
    assert run.name.endswith((folder / "wandb.id").read_text())
    lines = history(run)
    assert [line[STEP] for line in lines] == [8, 16, 16], "one axis, the images seen"
    assert [line.get("loss/total") for line in lines] == [0.5, 0.25, None]
    assert not any("epoch" in key or "global_step" in key for line in lines for key in line)
    assert set(step_axes(run).values()) == {"", STEP}
    (begun,) = (record.run for record in records(run) if record.WhichOneof("record_type") == "run")
    assert (begun.project, begun.run_group, begun.display_name) == ("ganverse", "car", "car-inverse")
    assert {item.key: item.value_json for item in begun.config.update}["seed"] == "3"
    shown = {key: value for key, value in lines[-1].items() if key.startswith("media/")}
    assert {key: value["_type"] for key, value in shown.items()} == {
        "media/table": "image-file",
        "media/object": "object3D-file",
        "media/numbers": "table-file",
    }
    for name in ("table-000000016.png", "object-000000016.glb", "numbers-000000016.csv"):
        assert (folder / "samples" / name).is_file()
    stored = {key: run / "files" / value["path"] for key, value in shown.items()}
    assert stored["media/table"].read_bytes() == (folder / "samples" / "table-000000016.png").read_bytes()
    assert stored["media/object"].read_bytes() == media["object"].glb
    table = json.loads(stored["media/numbers"].read_text())
    assert table["columns"] == ["number", "value"]
    assert table["data"] == [["gan/iou", 0.9], ["gan/flips", 0.0]]


def test_a_resumed_stage_stays_one_run_and_can_be_synced(tmp_path: Path) -> None:
    folder = tmp_path / "car" / "inverse"
    for seen in (8, 16):
        board = Dashboard(folder, lambda seen=seen: seen)
        board.log_metrics({"loss": 1.0})
        board.finalize("success")
    runs = sorted(folder.glob("wandb/offline-run-*"))
    identity = (folder / "wandb.id").read_text()
    assert runs
    # W&B numbers a directory (…-ID-1) where two runs of one name start within a second
    assert all(f"-{identity}" in run.name for run in runs)
    listed = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", *map(str, runs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert identity in listed.stdout + listed.stderr, "wandb recognizes the directory as a run to upload"
