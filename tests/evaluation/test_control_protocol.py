import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.evaluation.control_protocol import LADDER_AZIMUTHS, ControlReport, Instruments, measure_controls
from ganverse.geometry.cameras import Cameras
from tests.neural_renderer.toys import TEXTURE, toy_cameras, toy_renderer, toy_scenes


def read_camera(images: torch.Tensor) -> Cameras:
    return Cameras.from_degrees(*torch.zeros(2, len(images)), torch.ones(len(images)))


def read_mask(images: torch.Tensor) -> torch.Tensor:
    """Only the middle can show an object, so that there is always some background."""
    mask = torch.zeros_like(images[:, :1])
    mask[..., 6:10, 6:10] = (images[..., 6:10, 6:10].mean(dim=1, keepdim=True) > 0.5).float()
    return mask


INSTRUMENTS = Instruments(
    camera=read_camera,
    texture=lambda images: images[..., :TEXTURE, :TEXTURE],
    mask=read_mask,
    paint=lambda images: images.mean(dim=(2, 3)),
    traits=lambda images: {"color": images.mean(dim=(2, 3))},
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
    visible = torch.ones_like(images[:, :1])
    return measure_controls(
        renderer, scenes, visible, images, toy_cameras(4), INSTRUMENTS, sweep_scenes=2, step_degrees=90.0
    )


def test_a_shape_that_owns_everything() -> None:
    report = measure(0)
    assert report.shape_iou.min() > 0.999
    assert report.shape_iou_other.max() < 0.999
    assert report.shape_kept_iou.min() > 0.999
    assert report.shape.ratio < 0.01
    assert report.background_own.ratio > 100  # swapping backgrounds does nothing
    assert report.effects["background", "silhouette"].max() == 0
    assert report.effects["shape", "silhouette"].equal(report.effects["everything", "silhouette"])


def test_a_texture_that_owns_everything_brings_its_paint() -> None:
    assert measure(1).paint.ratio < 0.01
    assert measure(0).paint.ratio > 100


def test_a_background_that_owns_everything() -> None:
    report = measure(2)
    assert report.shape_iou_other.min() > 0.999  # swapping shapes does nothing
    assert report.shape_kept_iou.max() < 0.999
    assert report.shape.ratio > 100
    assert report.effects["background", "silhouette"].min() > 0
    assert report.effects["texture", "background"].max() == 0


def test_the_sweep_covers_the_circle() -> None:
    report = measure(1)
    assert sorted(report.camera.azimuth_degrees.round().tolist()) == [0, 0, 90, 90, 90, 90, 180, 180]
    assert report.faithful_iou.min() > 0.999
    assert report.faithful_l1.max() < 1e-6
    assert report.elevation.rank.shape == report.scale.slope.shape == (2 * len(LADDER_AZIMUTHS),)
    assert 0 <= report.identity["color"] <= 1
    assert set(report.effects) == {
        (swap, thing)
        for swap in ("shape", "texture", "background", "camera", "everything")
        for thing in ("silhouette", "texture", "background")
    }


def test_one_scene_cannot_be_swapped() -> None:
    with pytest.raises(GanverseError, match="two scenes"):
        measure(0, count=1)
