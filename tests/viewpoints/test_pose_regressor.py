import pytest
import torch

from examples.train_pose_regressor import held_out_errors, render
from ganverse.errors import GanverseError
from ganverse.masks.segmenter import CAR_WEIGHTS as SEGMENTER
from ganverse.viewpoints.pose_regressor import CAR_WEIGHTS, PoseRegressor


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in PoseRegressor().parameters()) < 1_000_000
    assert CAR_WEIGHTS.stat().st_size < 2_000_000


def test_other_sizes_are_resized() -> None:
    reading = PoseRegressor().eval()(torch.rand(2, 3, 96, 96))
    assert reading.azimuth.shape == (2,)
    assert reading.body_type.shape == (2, 6)
    assert 0 <= reading.color.min() <= reading.color.max() <= 1


def test_other_weights_are_refused() -> None:
    with pytest.raises(GanverseError, match="expected weights of PoseRegressor"):
        PoseRegressor.from_pretrained(SEGMENTER)


def test_the_shipped_regressor_predicts_unseen_renders() -> None:
    errors = held_out_errors(PoseRegressor.from_pretrained(), *render(100, seed=4321))
    assert errors["azimuth_deg"] < 2.0
    assert errors["azimuth_flips"] == 0.0
    assert errors["elevation_deg"] < 1.0
    assert errors["height"] < 0.015
    assert errors["type_accuracy"] > 0.9
    assert errors["color"] < 0.08
