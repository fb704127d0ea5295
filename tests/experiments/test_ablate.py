from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.ablate import Study, read_study, run_study
from ganverse.errors import GanverseError
from ganverse.evaluation.catalog import CATALOG
from ganverse.inverse.weights import load_inverse
from tests import pipeline_toys as toys
from tests.tasks.toys import Files

STUDY = Path(__file__).parent.parent.parent / "experiments" / "views.yaml"


def test_variants_are_trained_evaluated_and_compared(files: Files, tmp_path: Path) -> None:
    config = tmp_path / "base.json"
    config.write_text(json.dumps(toys.fit("InverseGraphics", files.generator, "inverse.safetensors")["fit"]))
    small = [f"--{name}={value}" for name, value in {**toys.EVALUATION, "world_objects": 0}.items()]
    variants = {"as it is": [], "one view!": ["--data.sampling.views=1"]}
    study = Study(
        str(tmp_path / "run"), str(config), variants, ["--model.images=4"], small, ["gan/iou_input", "absent"]
    )
    table = run_study(study)
    assert table.splitlines()[0] == "| variant | gan/iou_input | absent |"
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| as it is", "| one view!"]
    assert (tmp_path / "run" / "table.md").read_text() == table
    weights = tmp_path / "run" / "one-view-" / "inverse" / "inverse.safetensors"
    assert load_inverse(weights).card.images_seen == 4
    before = weights.stat().st_mtime_ns
    assert run_study(study) == table
    assert weights.stat().st_mtime_ns == before, "nothing is trained twice"


def test_the_example_names_settings_and_metrics_that_exist() -> None:
    study = read_study(STUDY)
    assert set(study.metrics) <= set(CATALOG)
    assert (STUDY.parent.parent / study.config).is_file()


def test_what_is_no_study(tmp_path: Path) -> None:
    for text in ("- 1\n", "run: x\n", "run: x\nconfig: y\nvariants: {}\ncolor: red\n"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(GanverseError, match="expected run, config and variants"):
            read_study(tmp_path / "a.yaml")
