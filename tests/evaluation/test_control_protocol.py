import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.evaluation.control_protocol import ControlReport, Instruments, measure_controls
from ganverse.geometry.cameras import Cameras
from tests.neural_renderer.toys import TEXTURE, toy_cameras, toy_renderer, toy_scenes


def read_camera(images: torch.Tensor) -> Cameras:
    return Cameras.from_degrees(*torch.zeros(2, len(images)), torch.ones(len(images)))


INSTRUMENTS = Instruments(
    camera=read_camera,
    texture=lambda images: images[..., :TEXTURE, :TEXTURE],
    mask=lambda images: (images.mean(dim=1, keepdim=True) > 0.5).float(),
)


def measure(owner: int, count: int = 4) -> ControlReport:
    """The controls of a renderer whose content all listens to one source: 0 shape, 1 texture, 2 background."""
    renderer, scenes = toy_renderer(), toy_scenes(count)
    for mapping in (renderer.shape_mapping, renderer.texture_mapping, renderer.background_mapping):
        [p.data.mul_(3) for p in mapping.parameters()]
    renderer.generator.paint.weight.data.mul_(5)
    renderer.fusion.logits.data[owner] = 100.0
    with torch.no_grad():
        images = renderer.render(scenes)
    return measure_controls(renderer, scenes, images, toy_cameras(4), INSTRUMENTS, sweep_scenes=2, step_degrees=90.0)


def test_a_shape_that_owns_everything() -> None:
    report = measure(0)
    assert report.shape_iou.min() > 0.999
    assert report.shape_iou_other.max() < 0.999
    assert report.shape_kept_iou.min() > 0.999
    assert report.background_ratio.min() > 1  # swapping backgrounds does nothing


def test_a_background_that_owns_everything() -> None:
    report = measure(2)
    assert report.shape_iou_other.min() > 0.999  # swapping shapes does nothing
    assert report.shape_kept_iou.max() < 0.999
    assert report.background_ratio.max() < 1e-3


def test_the_sweep_covers_the_circle_and_the_summary_names_everything() -> None:
    report = measure(1)
    assert sorted(report.camera.azimuth_degrees.round().tolist()) == [0, 0, 90, 90, 90, 90, 180, 180]
    assert report.faithful_iou.min() > 0.999
    assert report.faithful_l1.max() < 1e-6
    summary = report.summary()
    assert summary["azimuth_median_degrees"] == pytest.approx(90, abs=1e-3)
    assert {"shape_iou", "texture_ratio", "background_ratio", "azimuth_flipped"} < set(summary)


def test_one_scene_cannot_be_swapped() -> None:
    with pytest.raises(GanverseError, match="two scenes"):
        measure(0, count=1)
