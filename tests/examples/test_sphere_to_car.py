from pathlib import Path

import pytest
from PIL import Image

from examples.sphere_to_car import main


def test_a_few_steps_already_flatten_the_sphere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--size", "32", "--out", str(tmp_path)]
    start = main([*arguments, "--steps", "1"])
    result = main([*arguments, "--steps", "25"])
    assert result.silhouette_iou > start.silhouette_iou + 0.1
    assert result.solid_iou > start.solid_iou + 0.1
    assert f"silhouette IoU {result.silhouette_iou:.3f}" in capsys.readouterr().out
    with Image.open(tmp_path / "sphere_to_car.png") as sheet, Image.open(tmp_path / "sphere_to_car.gif") as film:
        assert sheet.size == (8 * 64, 6 * 64)
        assert film.n_frames == len(result.frames)
