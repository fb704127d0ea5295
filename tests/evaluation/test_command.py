"""`python evaluate.py`: settings that make no sense, devices, Weights & Biases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganverse import cli
from ganverse.errors import GanverseError
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.command import EvaluateCall, log_to_wandb, start_wandb
from ganverse.evaluation.models import ModelPaths
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.export import glb_bytes
from ganverse.geometry.meshes import sphere_template
from tests.offline_runs import finished_run, history


def test_nothing_named_means_the_weights_in_the_package() -> None:
    models, output = EvaluateCall().models()
    assert models == ModelPaths.shipped()
    assert output == Path("runs/shipped/report")
    with pytest.raises(GanverseError, match="got both"):
        EvaluateCall(run=Path("a"), checkpoint=Path("b"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--held_out_objects", "-1"], "held_out_objects to be at least 0"),
        (["--batch", "0"], "batch to be at least 1"),
        (["--control_objects", "1"], "control_objects of 0 or at least 2"),
        (["--photographs.refine", "many"], "photographs.refine"),
        (["--held_out_object", "3"], "did you mean held_out_objects"),
        (["--checkpoint", "weights.ckpt"], "expected --checkpoint to be a .safetensors file"),
        (["--run", "nowhere"], "expected a run directory"),
        (["--device", "tpu9"], "expected --device"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.evaluate([*arguments, "--output", str(tmp_path)]) == cli.BAD_INPUT
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_a_gpu_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert cli.evaluate(["--device", "cuda", "--output", str(tmp_path)]) == cli.BAD_INPUT
    assert "got cuda" in capsys.readouterr().err


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.evaluate(["--help"])
    shown = capsys.readouterr().out
    for settings in (EvaluateCall, EvaluationSettings):
        for name in settings.__dataclass_fields__:
            assert f"--{name} " in shown, name
    assert "Steps of test-time refinement" in shown


def test_an_evaluation_goes_to_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder, sphere = tmp_path / "report", sphere_template(1)
    for name in ("figures", "meshes"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "figures" / "gan-views.png")
    (folder / "meshes" / "gan-1.glb").write_bytes(glb_bytes(sphere, sphere.vertices.new_ones(3, 4, 4)))
    log_to_wandb(start_wandb(folder), folder, {"gan/iou_input": 0.91, "gan/azimuth_flips": 0.25})
    run = finished_run(folder)
    (media,) = history(run)
    assert media["gan/iou_input"] == 0.91
    shown = {key: value["_type"] for key, value in media.items() if key.startswith("media/")}
    assert shown == {"media/numbers": "table-file", "media/gan-views": "image-file", "media/gan-1": "object3D-file"}
    table = json.loads((run / "files" / media["media/numbers"]["path"]).read_text())
    assert table["data"][0][:3] == ["gan/iou_input", 0.91, CATALOG["gan/iou_input"].target]
    assert all(row[-1] for row in table["data"]), "meanings"
