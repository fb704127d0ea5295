import json
from pathlib import Path

import torch

from examples.train_pose_regressor import PoseLabels, held_out_errors, main, train_pose_regressor
from ganverse.io import to_bytes
from ganverse.viewpoints.pose_regressor import PoseRegressor


def _disc(count: int) -> tuple[torch.Tensor, PoseLabels]:
    """A bright disc that goes round the picture's center like a hand of a clock; its color is the paint."""
    azimuth = torch.rand(count) * 6.283 - 3.1415
    grid = torch.linspace(-1, 1, 64)
    x, y = 0.5 * azimuth.sin()[:, None, None], -0.5 * azimuth.cos()[:, None, None]
    disc = ((grid - x) ** 2 + (grid[:, None] - y) ** 2 < 0.06).float()[:, None]
    color = torch.rand(count, 3)
    images = disc * color[:, :, None, None] + (1 - disc) * 0.5
    zeros = torch.zeros(count)
    return to_bytes(images), PoseLabels(azimuth, zeros, zeros + 0.344, zeros.long(), color)


def test_training_learns_an_angle_all_round() -> None:
    regressor = train_pose_regressor(*_disc(256), steps=40, batch=16)
    errors = held_out_errors(regressor, *_disc(64))
    assert errors["azimuth_deg"] < 25
    assert errors["azimuth_flips"] < 0.1


def test_the_script_writes_weights_and_their_card(tmp_path: Path) -> None:
    path = tmp_path / "regressor.safetensors"
    errors = main(["--renders=24", "--steps=12", "-o", str(path)])
    assert json.loads(path.with_suffix(".json").read_text())["held_out_azimuth_deg"] == round(errors["azimuth_deg"], 5)
    assert PoseRegressor.from_pretrained(path)(torch.rand(1, 3, 64, 64)).azimuth.shape == (1,)
