from dataclasses import replace

import pytest
import torch

from ganverse.evaluation import world_truth as module
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.world_truth import WorldBatch, calibrate, reconstruct, world_batch, world_scores
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_table import CameraTable
from ganverse.rendering import RenderResult
from ganverse.worlds.generator import CarWorldGenerator
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_inverse

WORLD = CarWorldGenerator(32)


def test_the_same_car_from_two_cameras() -> None:
    batch = world_batch(WORLD, 5, torch.tensor([0, 3]))
    again = world_batch(WORLD, 5, torch.tensor([3]))
    assert torch.equal(batch.images[1], again.images[0])
    assert torch.equal(batch.cars.vertices[1], again.cars.vertices[0])
    assert (batch.cameras[0].azimuth - batch.cameras[1].azimuth).abs().min() > 1e-3
    assert batch.masks.amin() == 0
    assert batch.masks.amax() == 1


def test_a_perfect_reconstruction_scores_perfectly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth itself in place of the network's answer."""

    def truth(network: object, alignment: Alignment, batch: WorldBatch) -> tuple[torch.Tensor, list[RenderResult]]:
        views = []
        for view in range(2):
            face_index = torch.where(batch.masks[:, view, 0] > 0.5, 0, -1)
            rgb = batch.images[:, view]
            views.append(RenderResult(rgb, batch.masks[:, view], torch.zeros_like(rgb[:, :1]), face_index))
        return batch.cars.vertices, views

    cars = world_batch(WORLD, TINY_SETTINGS.seed, torch.arange(1)).cars
    model = tiny_inverse()
    monkeypatch.setattr(module, "reconstruct", truth)
    uvs = torch.zeros(len(cars.faces), 3, 2)
    model.network.faces, model.network.face_uvs = cars.faces, uvs
    table = CameraTable([0.0, 90.0], elevation_degrees=5.0, distance=3.0)
    cameras = Cameras.from_degrees([0.0, 90.0], [5.0, 5.0], [3.0, 3.0])
    scores, iou_3d = world_scores(WORLD, replace(model, cameras=table), Alignment(), cameras, TINY_SETTINGS)
    assert iou_3d.tolist() == [1, 1]
    assert scores["normal_consistency"].value > 0.9
    assert scores["iou_2d"].value == scores["iou_3d"].value == 1
    assert scores["chamfer"].value < 0.01
    assert scores["f_score"].value > 0.95
    assert scores["chroma_error"].value == 0 < scores["chroma_gray"].value
    assert scores["azimuth_error_deg"].value == pytest.approx(0, abs=1e-4)


def test_silhouettes_count_in_the_first_view_and_colors_in_both() -> None:
    """The first view is predicted exactly, in the second there is nothing but gray."""
    batch = world_batch(WORLD, 0, torch.arange(3))
    images, masks = batch.images, (batch.masks > 0.5).float()
    face_index = torch.where(masks[:, :, 0] > 0, 0, -1)
    views = [
        RenderResult(rgb, mask, torch.zeros_like(mask), index)
        for rgb, mask, index in (
            (images[:, 0], masks[:, 0], face_index[:, 0]),
            (torch.full_like(images[:, 1], 0.5), masks[:, 1], torch.full_like(face_index[:, 1], -1)),
        )
    ]
    found = module._picture_metrics(batch, views)
    hue = ((images - images.mean(dim=2, keepdim=True)).abs().mean(dim=2, keepdim=True) * masks).sum(dim=(2, 3, 4))
    hue = hue / masks.sum(dim=(2, 3, 4))
    assert found["iou_2d"].tolist() == [1, 1, 1]
    torch.testing.assert_close(found["chroma_error"], hue[:, 1] / 2)
    torch.testing.assert_close(found["chroma_gray"], hue.mean(dim=1))


def test_unknown_cameras_leave_their_error_out() -> None:
    scores, _ = world_scores(WORLD, tiny_inverse(), Alignment(), None, TINY_SETTINGS)
    assert "azimuth_error_deg" not in scores
    assert 0.2 < scores["iou_3d"].value < 0.9


def test_calibration_undoes_a_wrong_scale() -> None:
    """A network whose world is 1.25 times too large gets the same aligned shapes as one of the right size."""
    right, large = tiny_inverse(), tiny_inverse()
    large.network.start *= 1.25
    settings = replace(TINY_SETTINGS, calibration_objects=4)
    alignments = [calibrate(WORLD, model, None, settings) for model in (right, large)]
    assert alignments[0].scale / alignments[1].scale == pytest.approx(1.25, rel=0.03)
    batch = world_batch(WORLD, 0, torch.arange(2))
    shapes = [reconstruct(m.network, a, batch)[0] for m, a in zip((right, large), alignments, strict=True)]
    assert (shapes[0] - shapes[1]).norm(dim=-1).mean() < 0.05
