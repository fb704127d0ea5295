import pytest
import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.control import Studio
from ganverse.evaluation.edits import TURNS, WAYS, EditReport, edit_pictures, edit_scores, read_scenes
from ganverse.evaluation.figures import edit_figure
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.refinement import DescentSettings
from ganverse.viewpoints.view_codes import view_styles
from tests.evaluation.tiny_models import tiny_models


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def studio() -> Studio:
    models = tiny_models()
    assert models.gan is not None
    assert models.inverse is not None
    assert models.gan.masker is not None
    assert models.renderer is not None
    assert models.pose is not None
    return Studio(models.renderer, models.gan, models.inverse, models.pose, models.gan.masker, Alignment())


@pytest.fixture(scope="module")
def report(studio: Studio) -> EditReport:
    source = torch.Generator().manual_seed(0)
    pictures, masks = torch.rand(2, 3, 32, 32, generator=source), torch.zeros(2, 1, 32, 32)
    masks[..., 8:24, 8:24] = 1
    return edit_pictures(studio, pictures, masks, None, DescentSettings(steps=30, rate=0.2, prior=0.0))


def test_both_descents_come_nearer(report: EditReport) -> None:
    away = {way: (images - report.pictures).abs().mean() for way, images in report.painted.items()}
    assert away["refined"] < away["read"]
    assert away["projected"] < 0.5


def test_turned_pictures_are_asked_for_all_round(studio: Studio, report: EditReport) -> None:
    cameras = report.turned["refined"].cameras
    assert len(cameras) == 2 * TURNS
    assert len(set(cameras.azimuth[:TURNS].tolist())) == TURNS
    projected = report.turned["projected"].images
    assert projected.shape == (2 * TURNS, 3, 32, 32)
    codes = studio.source.codes
    assert len(view_styles(studio.source.generator, codes)) >= TURNS
    assert not torch.equal(projected[0], projected[1])


def test_scenes_have_the_camera_that_the_picture_shows(studio: Studio, report: EditReport) -> None:
    scenes = read_scenes(studio.model, report.pictures, torch.zeros(2, 1, 32, 32))
    assert torch.equal(scenes.cameras.azimuth, studio.model.network(report.pictures).camera.azimuth)
    assert torch.equal(scenes.background, report.pictures)


def test_every_score_is_in_the_catalog(studio: Studio, report: EditReport) -> None:
    scores = edit_scores(report, studio, PlainDistance())
    assert {f"edits/{name}" for name in scores} == {key for key in CATALOG if key.startswith("edits/")}
    assert scores["l1_refined"].value < scores["l1_read"].value
    assert 0 <= scores["turn_error_deg_projected"].value <= 180
    assert {name.rsplit("_", 1)[1] for name in scores} == set(WAYS)


def test_the_figure_has_a_row_per_picture(studio: Studio, report: EditReport) -> None:
    figure = edit_figure(studio, report)
    assert figure.name == "edits"
    assert figure.image.height > 2 * 90
    assert figure.image.width > (1 + 3 + 2 * TURNS + 3) * 90
