"""What the stages without a training loop show: samples and why some were dropped, and an evaluation."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from ganverse.cli import train
from ganverse.export import glb_bytes
from ganverse.geometry.meshes import sphere_template
from ganverse.pipeline import stages, summary
from ganverse.pipeline.commands import stage_settings
from ganverse.pipeline.dashboard import show_report
from ganverse.pipeline.report import trained_images
from ganverse.pipeline.run_directory import StageFolder
from tests import pipeline_toys as toys
from tests.offline_runs import finished_run, history


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_generation_says_what_it_dropped_and_why(tmp_path: Path) -> None:
    flags = toys.stage_flags("generate", tmp_path / "run", toys.save_gan(tmp_path))
    assert train(["generate", *flags, "--logger=wandb"]) == 0
    folder = tmp_path / "run" / "generate"
    numbers, media = history(finished_run(folder))
    counts = json.loads((folder / "shards" / "manifest.json").read_text())["images"]
    reasons = ("kept", "no_object", "several_objects", "too_small", "cut_off")
    assert {name: numbers[f"samples/{name}"] for name in reasons} == {name: counts[name] for name in reasons}
    assert numbers["images"] == media["images"] == sum(counts[name] for name in reasons) > 0
    assert {"media/views", "media/kept", "media/dropped-reasons"} <= media.keys()
    assert (folder / "samples" / "dropped-reasons.png").is_file()


def test_an_evaluation_becomes_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "meshes").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "figures" / "gan-views.png")
    (folder / "meshes" / "gan-1.glb").write_bytes(
        glb_bytes(sphere_template(1), sphere_template(1).vertices.new_ones(3, 4, 4))
    )
    show_report(folder, {"gan/iou_input": 0.91, "gan/azimuth_flips": 0.25}, 640, dashboard=True)
    with (folder / "numbers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], float(row["value"])) for row in rows] == [
        ("gan/iou_input", 0.91),
        ("gan/azimuth_flips", 0.25),
    ]
    assert all(row["meaning"] for row in rows)
    run = finished_run(folder)
    numbers, media = history(run)
    assert (numbers["gan/iou_input"], numbers["images"]) == (0.91, 640)
    shown = {key: value["_type"] for key, value in media.items() if key.startswith("media/")}
    assert shown == {"media/numbers": "table-file", "media/gan-views": "image-file", "media/gan-1": "object3D-file"}
    table = json.loads((run / "files" / media["media/numbers"]["path"]).read_text())
    assert table["data"][0][:2] == ["gan/iou_input", 0.91]


def test_a_run_knows_how_far_it_was_trained(tmp_path: Path) -> None:
    assert trained_images(tmp_path) == 0
    StageFolder(tmp_path / "inverse").finish({"images": 96})
    assert trained_images(tmp_path) == 96
    StageFolder(tmp_path / "disentangle").finish({"images": 12})
    assert trained_images(tmp_path) == 12


def test_what_is_to_go(tmp_path: Path) -> None:
    def rest(*flags: str) -> str:
        return summary.to_go(
            stages.step(stage_settings("inverse", [f"--run={tmp_path}", "--schedule.images=1000", *flags]))
        )

    assert rest() == "shown once it runs"
    assert rest("--minutes=9") == "at most 9:00"
    (tmp_path / "inverse").mkdir()
    (tmp_path / "inverse" / "metrics.jsonl").write_text('{"images": 400, "images_per_second": 10.0}\n')
    assert rest() == "about 1:00"
    assert rest("--minutes=0.5") == "about 0:30"
    StageFolder(tmp_path / "inverse").finish({"images": 1000})
    assert rest() == ""
    assert summary.to_go(stages.step(stage_settings("generate", [f"--run={tmp_path}"]))) == ""
