import pytest
import torch

from ganverse.evaluation.catalog import CATALOG
from ganverse.evaluation.control import Studio
from ganverse.evaluation.control_figures import edit_figure
from ganverse.evaluation.edits import TURNS, WAYS, EditedImages, edit_images, edit_scores
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.refinement import DescentSettings
from ganverse.viewpoints.view_codes import view_styles
from tests.evaluation.tiny_models import tiny_studio


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def studio() -> Studio:
    return tiny_studio()


@pytest.fixture(scope="module")
def edited(studio: Studio) -> EditedImages:
    source = torch.Generator().manual_seed(0)
    images, masks = torch.rand(2, 3, 32, 32, generator=source), torch.zeros(2, 1, 32, 32)
    masks[..., 8:24, 8:24] = 1
    return edit_images(studio, images, masks, None, DescentSettings(steps=30, rate=0.2, prior=0.0))


def test_both_descents_come_nearer(edited: EditedImages) -> None:
    away = {way: (images - edited.images).abs().mean() for way, images in edited.reconstructed.items()}
    assert away["refined"] < away["read"]
    assert away["projected"] < 0.5


def test_images_are_rotated_all_round(studio: Studio, edited: EditedImages) -> None:
    cameras = edited.cameras
    assert len(cameras) == 2 * TURNS
    assert len(set(cameras.azimuth[:TURNS].tolist())) == TURNS
    projected = edited.rotated["projected"]
    assert projected.shape == (2 * TURNS, 3, 32, 32)
    codes = studio.source.codes
    assert len(view_styles(studio.source.generator, codes)) >= TURNS
    assert not torch.equal(projected[0], projected[1])


def test_scenes_have_the_predicted_camera(studio: Studio, edited: EditedImages) -> None:
    scenes = studio.renderer.read(studio.model.network, edited.images, torch.zeros(2, 1, 32, 32))
    assert torch.equal(scenes.cameras.azimuth, studio.model.network(edited.images).camera.azimuth)
    assert torch.equal(scenes.background, edited.images)


def test_every_score_is_in_the_catalog(studio: Studio, edited: EditedImages) -> None:
    scores = edit_scores(edited, studio, PlainDistance())
    assert {f"edits/{name}" for name in scores} == {key for key in CATALOG if key.startswith("edits/")}
    assert scores["l1_refined"].value < scores["l1_read"].value
    assert 0 <= scores["turn_error_deg_projected"].value <= 180
    assert {name.rsplit("_", 1)[1] for name in scores} == set(WAYS)
    assert {score.count for score in scores.values()} == {2}, "a picture's four rotations are no four pictures"


def test_the_figure_has_a_row_per_image(studio: Studio, edited: EditedImages) -> None:
    figure = edit_figure(studio, edited)
    assert figure.name == "edits"
    assert figure.image.height > 2 * 90
    assert figure.image.width > (1 + 3 + 2 * TURNS + 3) * 90
