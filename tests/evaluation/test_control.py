from dataclasses import replace

import pytest
import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control import RegressorFeatures, Studio, control, gan_scores, scenes_of
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import mix_styles, view_styles
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_models


@pytest.fixture(scope="module")
def studio() -> Studio:
    models = tiny_models()
    assert models.gan is not None
    assert models.inverse is not None
    assert models.gan.masker is not None
    assert models.renderer is not None
    assert models.pose is not None
    return Studio(models.renderer, models.gan, models.inverse, models.pose, models.gan.masker, Alignment())


def test_scores_of_a_tiny_renderer(studio: Studio) -> None:
    scores = control(studio, TINY_SETTINGS)
    assert set(scores) >= {
        "azimuth_error_deg",
        "swap_shape_iou",
        "swap_texture_ratio",
        "swap_paint_ratio",
        "swap_background_ratio",
        "quality_ratio",
    }
    assert 0 <= scores["azimuth_error_deg"].value <= 180
    assert scores["azimuth_error_deg"].count == 6
    assert scores["quality_ratio"].value > 0


def test_the_gan_itself_is_a_perfect_swap_where_object_and_view_are_the_same(studio: Studio) -> None:
    batch = studio.source.sampler(0, 1).draw(torch.arange(3)).batch
    scores = gan_scores(studio, batch)
    assert all(score.value > 0 for score in scores.values())
    alike = replace(batch, view_ids=batch.view_ids[:1].expand(3, -1))
    views = view_styles(studio.source.generator, studio.source.codes)[alike.view_ids[:, 0]]
    shown = mix_styles(batch.styles[:, 0], views, studio.source.codes.view_dims)
    images = studio.source.generator.synthesize(shown)
    scores = gan_scores(studio, replace(alike, images=images[:, None]))
    assert scores["swap_texture_gan"].value == pytest.approx(0, abs=1e-3)
    assert scores["swap_paint_gan"].value == pytest.approx(0, abs=1e-3)


def test_without_pictures_there_is_no_quality(studio: Studio) -> None:
    assert "quality_ratio" not in control(studio, replace(TINY_SETTINGS, quality_images=0))


def test_cameras_are_read_in_the_network_s_own_world(studio: Studio) -> None:
    images = torch.rand(2, 3, 32, 32)
    turned = replace(studio, alignment=Alignment(yaw=0.5))
    straight, shifted = (s.instruments.camera(images).azimuth for s in (studio, turned))
    assert torch.allclose(straight - 0.5, shifted)


def test_scenes_take_the_first_view(studio: Studio) -> None:
    batch = studio.source.sampler(0, 2).draw(torch.arange(2)).batch
    scenes = scenes_of(studio.model, batch)
    assert torch.equal(scenes.cameras.azimuth, studio.model.cameras(batch.view_ids[:, 0]).azimuth)
    assert torch.equal(scenes.vertices, studio.model.network(batch.images[:, 0]).vertices)
    assert scenes.background.shape == (2, 3, 32, 32)


def test_features_are_what_the_last_layer_sees() -> None:
    regressor, images = PoseRegressor().eval(), torch.rand(2, 3, 64, 64)
    features = RegressorFeatures(regressor)
    assert features(images).shape == (2, features.num_features)
    assert torch.allclose(regressor.head[-1](features(images)), regressor.raw(images), atol=1e-5)
    assert features(torch.rand(2, 3, 32, 32)).shape == (2, features.num_features)
