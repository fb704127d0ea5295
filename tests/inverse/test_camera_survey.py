from __future__ import annotations

import math

import pytest
import torch

from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_survey import CameraSurvey, SurveyPlan, hypotheses, hypothesis_losses
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLossWeights
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering.render import Silhouette, render
from tests.inverse.tiny import TINY

WEIGHTS = InverseLossWeights()
TRUE = (5.0, 60.0, 130.0, 192.0, 240.0, 300.0)


def _objects(network: InverseGraphicsNetwork, views: int) -> Reconstruction:
    """One mirror-symmetric wedge, light in front and dark behind, as if reconstructed from each of its views."""
    vertices = network.start.clone()
    vertices[:, 0] *= 1.0 - 0.5 * vertices[:, 2]
    texture = torch.full((1, 3, 32, 32), 0.3)
    texture[..., 16:] = 0.9
    texture = (texture + texture.flip(-1)) / 2 if TINY.symmetric else texture
    texture[:, 0] *= torch.linspace(0.2, 1.0, 32)[:, None]
    displacement = (vertices - network.start).expand(views, -1, -1)
    cameras = Cameras.from_degrees([0.0] * views, [0.0] * views, [4.0] * views)
    return Reconstruction(
        displacement, vertices.expand(views, -1, -1), texture.expand(views, -1, -1, -1), None, cameras
    )


def _pictures(network: InverseGraphicsNetwork, objects: Reconstruction) -> tuple[torch.Tensor, torch.Tensor]:
    cameras = Cameras.from_degrees(TRUE, [12.0] * 6, [4.0] * 6)
    drawn = render(network.mesh(objects), objects.texture, cameras, size=32, backend="reference")
    return drawn.rgb[None], (drawn.face_index >= 0).float()[None, :, None]


def _survey(table: CameraTable, plan: SurveyPlan) -> torch.Tensor:
    network = InverseGraphicsNetwork(TINY)
    objects = _objects(network, len(TRUE))
    images, masks = _pictures(network, objects)
    losses = hypothesis_losses(
        network, objects, table.all(), images, masks, weights=WEIGHTS, silhouette=Silhouette(), turns=plan.turns
    )
    survey = CameraSurvey(len(TRUE), plan)
    survey.add(torch.arange(len(TRUE)), losses)
    return survey.decide(table)


def test_hypotheses_are_the_camera_its_mirror_image_and_its_turns():
    cameras = Cameras(
        torch.tensor([0.3, 2.0]), torch.tensor([0.1, 0.2]), torch.tensor([3.0, 4.0]), torch.full((2, 2), 0.1)
    )
    found = hypotheses(cameras, 4)
    assert len(found) == 10
    assert found.azimuth[:5].tolist() == pytest.approx(
        [0.3, -0.3, 0.3 + math.pi / 2, 0.3 + math.pi, 0.3 + 1.5 * math.pi]
    )
    assert found.offset[5:].flatten().tolist() == pytest.approx([0.1, 0.1, -0.1, 0.1] + [0.0] * 6)
    assert found.elevation[5:].tolist() == pytest.approx([0.2] * 5)


def test_cameras_stay_where_they_explain_their_pictures():
    table = CameraTable(TRUE, elevation_degrees=12.0)
    assert not _survey(table, SurveyPlan()).any()
    assert table.azimuth.rad2deg().tolist() == pytest.approx(TRUE)


def test_a_mirrored_camera_and_a_wrong_bin_are_moved_the_short_way_round():
    wrong = list(TRUE)
    wrong[3], wrong[4] = 168.0, 60.0
    table = CameraTable(wrong, elevation_degrees=12.0)
    assert _survey(table, SurveyPlan()).tolist() == [False, False, False, True, True, False]
    assert table.azimuth.rad2deg().tolist() == pytest.approx([5.0, 60.0, 130.0, 192.0, -120.0, 300.0], abs=1e-3)


def test_a_small_gain_on_every_picture_is_sure_and_a_large_one_on_some_is_not():
    present = torch.tensor([3.0, 3.5, 2.5, 3.2])
    small = present * torch.tensor([0.95, 0.96, 0.95, 0.94])  # the other end of a car: most of the loss is its paint
    large = present + torch.tensor([-2.0, 0.5, -1.0, 0.5])
    table = CameraTable([100.0, 200.0])
    survey = CameraSurvey(2, SurveyPlan(turns=2))
    for view, turned in enumerate((small, large)):
        survey.add(torch.full((4,), view), torch.stack([present, 2 * present, turned], dim=1))
    assert survey.decide(table).tolist() == [True, False]
    assert table.azimuth.rad2deg().tolist() == pytest.approx([280.0, 200.0], abs=1e-3)


def test_surveys_come_when_planned_and_begin_anew_after_each_decision():
    survey = CameraSurvey(2, SurveyPlan(at=(0.1, 0.5), after=15, pictures_per_view=2, turns=3))
    assert [survey.due(seen, 100) for seen in (0, 10, 15, 90)] == [False, False, True, True]
    survey.add(torch.tensor([0, 1, 0]), torch.eye(3, 4))
    assert not survey.complete
    survey.add(torch.tensor([0]), torch.ones(1, 4))
    assert survey.complete
    survey.decide(CameraTable([0.0, 90.0]))
    assert not survey.complete
    assert survey.squares.abs().sum() == survey.falls.abs().sum() == 0
    assert [survey.due(seen, 100) for seen in (20, 50)] == [False, True]
    survey.decide(CameraTable([0.0, 90.0]))
    assert not survey.due(100, 100)
