"""Numbers in the cards: of the right model, readable beside its facts, and the weights load as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganverse.errors import GanverseError
from ganverse.evaluation.cards import owner, write_cards
from ganverse.evaluation.settings import ModelPaths
from ganverse.generators.weights import load_generator
from ganverse.inverse.weights import load_inverse
from ganverse.pretrained import read_evaluation
from tests import pipeline_toys as toys
from tests.reconstruction.toys import save_weights

KEYS = {
    "gan/azimuth_spread_deg": "generator",
    "gan/iou_input": "inverse",
    "world/iou_3d": "inverse",
    "pascal3d/iou": "inverse",
    "oracle/identity_height": "oracle",
    "oracle/iou_3d": "oracle",
    "stylegan_r/swap_shape_iou": "stylegan_r",
}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores.json"
    score = {"value": 0.123456789, "low": 0.1, "high": None, "count": 7}
    path.write_text(json.dumps(dict.fromkeys(KEYS, score)))
    return path


def test_every_number_goes_to_the_model_it_judges() -> None:
    models = ModelPaths(generator=Path("g"), inverse=Path("i"), oracle=Path("t"))
    assert {key: owner(key, models) for key in KEYS} == KEYS
    assert owner("photos/iou", ModelPaths(oracle=Path("t"))) == "oracle"


def test_cards_carry_their_numbers_and_weights_still_load(tmp_path: Path, scores: Path) -> None:
    models = ModelPaths(generator=toys.save_gan(tmp_path), inverse=save_weights(tmp_path / "inverse.safetensors"))
    before = load_inverse(models.inverse).card
    assert write_cards(models, scores) == [models.generator, models.inverse]
    assert read_evaluation(models.generator) == {
        "gan/azimuth_spread_deg": {"value": 0.12346, "low": 0.1, "high": None, "count": 7}
    }
    assert set(read_evaluation(models.inverse)) == {"gan/iou_input", "world/iou_3d", "pascal3d/iou"}
    assert load_inverse(models.inverse).card == before
    load_generator(models.generator)


def test_no_card_no_numbers(tmp_path: Path, scores: Path) -> None:
    with pytest.raises(GanverseError, match="expected a card"):
        write_cards(ModelPaths(oracle=tmp_path / "oracle.safetensors"), scores)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]
