from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import scipy.stats
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_survey import CameraSurvey, SurveyPlan, hypotheses, hypothesis_losses
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLossWeights
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering import SoftMaskSettings, render
from tests.inverse.tiny import TINY

WEIGHTS = InverseLossWeights()
TRUE = (5.0, 60.0, 130.0, 192.0, 240.0, 300.0)
QUARTERS = SurveyPlan(turns=4)
"""Hypotheses: itself, mirrored, + 90, + 180, + 270, annotated."""


def radians(*degrees: float) -> torch.Tensor:
    return torch.tensor(degrees).deg2rad()


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
    survey = CameraSurvey(table.azimuth, plan)
    losses = hypothesis_losses(
        network,
        objects,
        table.all(),
        survey.annotated,
        images,
        masks,
        weights=WEIGHTS,
        silhouette=SoftMaskSettings(),
        turns=plan.turns,
    )
    survey.add(torch.arange(len(TRUE)), losses)
    return survey.decide(table)


def compared(survey: CameraSurvey, view: int, losses: list[float], spread: float = 0.1) -> None:
    """Four images of a view with these losses on average."""
    noise = spread * torch.tensor([1.0, -1.0, 0.5, -0.5])[:, None] * torch.linspace(-1, 1, len(losses))
    survey.add(torch.full((4,), view), torch.tensor(losses) + noise)


def test_hypotheses_are_the_camera_its_mirror_image_its_turns_and_the_annotation():
    cameras = Cameras(
        torch.tensor([0.3, 2.0]), torch.tensor([0.1, 0.2]), torch.tensor([3.0, 4.0]), torch.full((2, 2), 0.1)
    )
    found = hypotheses(cameras, torch.tensor([0.5, 0.6]), 4)
    assert len(found) == 12
    assert found.azimuth[:6].tolist() == pytest.approx(
        [0.3, -0.3, 0.3 + math.pi / 2, 0.3 + math.pi, 0.3 + 1.5 * math.pi, 0.5]
    )
    assert found.offset[6:].flatten().tolist() == pytest.approx([0.1, 0.1, -0.1, 0.1] + [0.0] * 8)
    assert found.elevation[6:].tolist() == pytest.approx([0.2] * 6)


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


def test_certainty_is_counted_in_standard_errors_of_the_mean():
    """The t statistic of the falls, as SciPy has it: below it the camera moves, above it the camera stays."""
    own, other = torch.tensor([4.0, 4.4, 3.8, 4.1, 4.3]), torch.tensor([3.1, 3.9, 3.2, 3.0, 3.9])
    certainty = float(scipy.stats.ttest_1samp(own - other, 0).statistic)
    losses = torch.stack([own, *[own + 1] * 2, other, own + 1, own], dim=1)
    for share, moves in ((0.99, True), (1.01, False)):
        survey = CameraSurvey(radians(100), replace(QUARTERS, certainty=share * certainty))
        survey.add(torch.zeros(5, dtype=torch.long), losses)
        assert survey.decide(CameraTable([100.0])).tolist() == [moves]


def test_far_moves_need_certainty_and_effect_and_near_ones_certainty(caplog):
    """Losses in the order of QUARTERS; all cameras stand where they were annotated."""
    table = CameraTable([100.0, 100.0, 100.0, 170.0])
    survey = CameraSurvey(table.azimuth, QUARTERS)
    compared(survey, 0, [4.0, 9.0, 9.0, 3.7, 9.0, 4.0], spread=0.1)  # 7 %, certain
    compared(survey, 1, [4.0, 9.0, 9.0, 3.88, 9.0, 4.0], spread=0.01)  # 3 %, as certain
    compared(survey, 2, [4.0, 9.0, 9.0, 3.0, 9.0, 4.0], spread=2.0)  # 25 %, uncertain
    compared(survey, 3, [4.0, 3.95, 9.0, 9.0, 9.0, 4.0], spread=0.01)  # 1 %, but near: 190 degrees
    with caplog.at_level(logging.INFO):
        assert survey.decide(table).tolist() == [True, False, False, True]
    assert table.azimuth.rad2deg().tolist() == pytest.approx([280.0, 100.0, 100.0, 190.0], abs=1e-3)
    far, near = caplog.records
    assert far.levelno == logging.WARNING
    assert "view code 0: camera moved from 100 to 280 degrees (annotated: 100)" in far.getMessage()
    assert "-7.5 %" in far.getMessage()
    assert near.levelno == logging.INFO


def test_a_moved_camera_returns_when_the_evidence_is_gone_and_stays_while_half_of_it_is_there():
    """Cameras away from their annotation of 100 degrees; the last hypothesis is that azimuth."""
    table = CameraTable([280.0, 280.0, 280.0, 140.0, 280.0])
    survey = CameraSurvey(radians(100, 100, 100, 100, 100), QUARTERS)
    compared(survey, 0, [4.0, 9.0, 9.0, 9.0, 9.0, 4.01])  # as good at home
    compared(survey, 1, [4.0, 9.0, 9.0, 9.0, 9.0, 4.2])  # 5 % worse at home
    compared(survey, 2, [4.0, 9.0, 9.0, 9.0, 9.0, 4.06], spread=0.001)  # certain, but 1.5 % only
    compared(survey, 3, [4.0, 9.0, 9.0, 9.0, 9.0, 3.9], spread=0.001)  # certainly better at home, but within reach
    assert survey.decide(table).tolist() == [True, False, True, False, False], "nothing is known of the last"
    assert table.azimuth.rad2deg().remainder(360).tolist() == pytest.approx([100.0, 280.0, 100.0, 140.0, 280.0])


def test_surveys_come_when_planned_begin_anew_after_each_decision_and_survive_a_checkpoint():
    plan = SurveyPlan(at=(0.1, 0.5), after=15, pictures_per_view=2, turns=3)
    survey = CameraSurvey(radians(0, 90), plan)
    assert [survey.due(seen, 100) for seen in (0, 10, 15, 90)] == [False, False, True, True]
    survey.add(torch.tensor([0, 1, 0]), torch.eye(3, 5))
    assert not survey.complete
    resumed = CameraSurvey(radians(0, 90), plan)
    resumed.load_state_dict(survey.state_dict())
    assert torch.equal(resumed.falls, survey.falls)
    for one in (survey, resumed):
        one.add(torch.tensor([0]), torch.ones(1, 5))
        assert one.complete
        one.decide(CameraTable([0.0, 90.0]))
        assert not one.complete
        assert one.squares.abs().sum() == one.falls.abs().sum() == one.own.sum() == 0
        assert [one.due(seen, 100) for seen in (20, 50)] == [False, True]
        one.decide(CameraTable([0.0, 90.0]))
        assert not one.due(100, 100)


@pytest.mark.parametrize("wrong", [{"at": (0.5, 0.1)}, {"at": (1.5,)}, {"turns": 1}, {"reach": 200.0}])
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(GanverseError, match=r"expected .*(survey|turns|reach|after|pictures_per_view)"):
        SurveyPlan(**wrong)
