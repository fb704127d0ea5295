import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ganverse.evaluation import evaluate as module
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.evaluate import evaluate_loaded, evaluate_models, published
from ganverse.evaluation.held_out import held_out_samples
from ganverse.evaluation.metrics import Score
from ganverse.evaluation.models import ModelPaths, Models
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseCard, save_inverse
from tests.evaluation.tiny_models import TINY_SETTINGS, VIEWS, tiny_inverse, tiny_models, tiny_world


@pytest.fixture(autouse=True)
def cheap_perceptual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PerceptualDistance", lambda: PerceptualDistance(stages=1))


def quiet() -> Console:
    return Console(quiet=True)


def test_everything_at_once(tmp_path: Path) -> None:
    metrics = evaluate_loaded(tiny_models(), tmp_path, TINY_SETTINGS, console=quiet())
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    apart = ("photos", "pascal3d")
    assert set(metrics) == {key for key, e in CATALOG.items() if e.published and e.part not in apart}
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["perceptual"] == "stlpips-1"
    scores = written["scores"]
    assert {key: score["value"] for key, score in scores.items() if key in metrics} == metrics
    assert all(score["low"] <= score["value"] <= score["high"] for score in scores.values() if score["low"] is not None)
    without = {f"stylegan_r/{name}" for name in ("quality_ratio", "identity_color", "identity_height")}
    assert {key for key, score in scores.items() if score["low"] is None} == without
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    assert list(metrics) == [key for key in CATALOG if key in metrics]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "weights stlpips-1" in page
    for figure in (
        "gan-views",
        "gan-reconstructions",
        "world-sheet",
        "oracle-sheet",
        "stylegan-r-camera",
        "swap-shape",
    ):
        assert f'id="{figure}"' in page
        assert (tmp_path / "figures" / f"{figure}.png").stat().st_size > 500
    assert len(list((tmp_path / "meshes").glob("*.glb"))) == 4


def test_what_is_not_there_is_absent(tmp_path: Path) -> None:
    models = Models(oracle=tiny_inverse())
    metrics = evaluate_loaded(models, tmp_path, TINY_SETTINGS, console=quiet())
    assert {key.split("/")[0] for key in metrics} == {"oracle"}
    assert "oracle/iou_3d" in metrics
    assert "oracle/azimuth_error_deg" in metrics
    assert "oracle/azimuth_spread_deg" not in metrics
    assert "null" not in (tmp_path / "metrics.json").read_text()


def test_other_things_than_cars_have_no_truth(tmp_path: Path) -> None:
    everything = tiny_models()
    models = Models(gan=everything.gan, inverse=everything.inverse)
    settings = replace(TINY_SETTINGS, world_objects=0, figure_objects=1)
    metrics = evaluate_loaded(models, tmp_path, settings, console=quiet())
    assert set(metrics) == {
        f"gan/{name}"
        for name in ("iou_input", "iou_unseen", "l1_masked", "psnr_input", "psnr_unseen", "lpips_input", "lpips_unseen")
    }


def test_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "oracle.safetensors"
    table = CameraTable([30.0 * view for view in range(VIEWS)], distance=3.2)
    save_inverse(tiny_inverse().network, table, path, InverseCard("car-world", "", 0, 0))
    metrics = evaluate_models(ModelPaths(oracle=path), tmp_path / "report", TINY_SETTINGS)
    printed = capsys.readouterr().out
    assert "oracle/iou_input" in printed
    assert "alignment to the true world" in printed
    assert "index.html" in printed
    assert 0 < metrics["oracle/iou_input"] < 1


def test_samples_of_a_source_without_a_generator(tmp_path: Path) -> None:
    """A folder of pictures has held-out objects, too."""
    samples = held_out_samples(tiny_world(), 0, 2, views=2)
    settings = replace(TINY_SETTINGS, world_objects=0, figure_objects=0)
    metrics = evaluate_loaded(Models(inverse=tiny_inverse(), held_out=samples), tmp_path, settings, console=quiet())
    assert {key.split("/")[0] for key in metrics} == {"gan"}
    assert not (tmp_path / "figures").exists()


def test_0_objects_omit_a_part(tmp_path: Path) -> None:
    parts = ("held_out_objects", "identity_objects", "control_objects", "edited_pictures", "figure_objects")
    settings = replace(TINY_SETTINGS, **dict.fromkeys(parts, 0))
    metrics = evaluate_loaded(tiny_models(), tmp_path, settings, console=quiet())
    assert {key.split("/")[0] for key in metrics} == {"world", "oracle"}
    assert "oracle/iou_input" not in metrics


def test_numbers_that_are_none_are_not_published() -> None:
    scores = {"gan/iou_input": Score(math.nan), "gan/iou_unseen": Score(0.5), "world/chroma_gray": Score(0.1)}
    assert published(scores) == {"gan/iou_unseen": 0.5}
