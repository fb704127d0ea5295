"""Model cards: valid for the hub, with the numbers of the JSON card, and current for the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ganverse.inverse.weights import load_inverse
from ganverse.model_cards import model_card
from ganverse.pretrained import SHIPPED, read_card, save_network

SHIPPED_CARDS = sorted(SHIPPED.glob("*.json"))
TAGS = {  # of huggingface.co/docs/hub/models-tasks
    "image-to-3d",
    "image-to-image",
    "image-segmentation",
    "image-feature-extraction",
    "unconditional-image-generation",
}


def parts(text: str) -> tuple[dict[str, Any], str]:
    """Header and body of a model card."""
    start, header, body = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(header), body


@pytest.mark.parametrize("path", SHIPPED_CARDS, ids=lambda path: path.stem)
def test_shipped_cards_are_current(path: Path) -> None:
    facts = json.loads(path.read_text())
    written = path.with_suffix(".md").read_text(encoding="utf-8")
    assert written == model_card(path.stem, facts), "run python docs/tables.py"
    header, body = parts(written)
    assert header["license"] == "apache-2.0"
    assert header["library_name"] == "ganverse"
    assert header["pipeline_tag"] in TAGS
    (entry,) = header["model-index"]
    (result,) = entry["results"]
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    expected = {key: score["value"] for key, score in facts.get("evaluation", {}).items()}
    assert expected.items() <= metrics.items()
    for key in metrics:
        assert f"| `{key}` |" in body
    assert facts["sha256"] in body


def test_a_card_follows_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "birds.safetensors"
    save_network(torch.nn.Linear(2, 2), path, {"architecture": "stylegan2", "license": "non-commercial: ask Ann"})
    header, body = parts(path.with_suffix(".md").read_text(encoding="utf-8"))
    assert header["license"] == "other"
    assert "non-commercial: ask Ann" in body
    assert "model-index" not in header
    assert "## Results" not in body
    evaluation = {"gan/iou_input": {"value": 0.5, "low": 0.4, "high": 0.6, "count": 3}}
    header, body = parts(model_card("birds", {**read_card(path), "evaluation": evaluation}))
    assert header["model-index"][0]["results"][0]["metrics"] == [{"type": "gan/iou_input", "value": 0.5}]
    assert "| `gan/iou_input` | 0.5 | 0.4 to 0.6 |" in body


@pytest.mark.parametrize(
    "facts", [{}, {"license": None, "architecture": 3}, {"notes": "a: b\n- c", "evaluation": {"x": 1}}]
)
def test_any_card_gives_a_valid_header(facts: dict[str, Any]) -> None:
    header, body = parts(model_card("name: [x]", facts))
    assert header["tags"] == ["ganverse", "ganverse3d"]
    assert body.startswith("\n# name: [x]\n")


def test_the_code_on_the_card_of_an_inverse_network_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a name of the hub in it, which is looked up as a folder here."""
    from tests.apps.studio_toys import photo_file

    _, body = parts((SHIPPED / "inverse-car.md").read_text(encoding="utf-8"))
    code = body.split("```python\n")[1].split("```")[0].replace("OWNER/NAME", str(SHIPPED / "inverse-car.safetensors"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(photo_file("JPEG"))
    exec(code, {})  # noqa: S102
    assert (tmp_path / "object.glb").stat().st_size > 10_000
    assert load_inverse("car").card.sha256 in body
