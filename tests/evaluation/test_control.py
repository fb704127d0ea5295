"""StyleGAN-R's scores: of toys with a known answer, and of tiny networks end to end."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ganverse.errors import GanverseError
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control import (
    Probes,
    RegressorFeatures,
    Studio,
    control_scores,
    frechet_distance,
    gan_scores,
    ladder_scores,
    rank_and_slope,
    rotation_scores,
    swap_ratio,
    swap_scores,
)
from ganverse.evaluation.held_out import held_out_samples
from ganverse.evaluation.metrics import Score
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.view_codes import mix_styles, view_styles
from tests.evaluation.tiny_models import TINY_SETTINGS, tiny_studio
from tests.neural_renderer.toys import TEXTURE, toy_cameras, toy_renderer, toy_scenes


def read_pose(images: torch.Tensor) -> PoseReading:
    zero = torch.zeros(len(images))
    return PoseReading(zero, zero, images.mean(dim=(1, 2, 3)), torch.zeros(len(images), 6), images.mean(dim=(2, 3)))


def read_mask(images: torch.Tensor) -> torch.Tensor:
    """Only the middle can show an object, so that there is always some background."""
    mask = torch.zeros_like(images[:, :1])
    mask[..., 6:10, 6:10] = (images[..., 6:10, 6:10].mean(dim=1, keepdim=True) > 0.5).float()
    return mask


PROBES = Probes(pose=read_pose, texture=lambda images: images[..., :TEXTURE, :TEXTURE], mask=read_mask)


def owned(owner: int) -> StyleGANR:
    """A renderer whose whole content depends on one input: 0 shape, 1 texture, 2 background."""
    renderer = toy_renderer()
    for mapping in (renderer.shape_mapping, renderer.texture_mapping, renderer.background_mapping):
        [p.data.mul_(3) for p in mapping.parameters()]
    renderer.generator.paint.weight.data.mul_(5)
    renderer.fusion.logits.data[owner] = 100.0
    return renderer


def measure(owner: int, count: int = 4) -> dict[str, float]:
    """The scores of such a renderer."""
    renderer, scenes = owned(owner), toy_scenes(count)
    with torch.no_grad():
        images = renderer.render(scenes)
    found = {
        **rotation_scores(renderer, scenes[:2], toy_cameras(4), PROBES, azimuths=4),
        **ladder_scores(renderer, scenes[:2], toy_cameras(4), PROBES),
        **swap_scores(renderer, scenes, torch.ones_like(images[:, :1]), images, PROBES),
    }
    return {name: score.value for name, score in found.items()}


def test_a_shape_that_owns_everything() -> None:
    found = measure(0)
    assert found["swap_shape_iou"] > 0.999
    assert found["swap_shape_ratio"] < 0.01
    assert found["swap_paint_ratio"] > 100


def test_a_texture_that_owns_everything_brings_its_paint() -> None:
    assert measure(1)["swap_paint_ratio"] < 0.01


def test_a_background_that_owns_everything() -> None:
    found = measure(2)
    assert found["swap_shape_ratio"] > 100, "swapping shapes does nothing"


def test_a_constant_prediction_is_off_by_what_a_circle_is() -> None:
    found = measure(1)
    assert found["azimuth_error_deg"] == pytest.approx(90, abs=0.1), "0, 90, 90 and 180 degrees"
    assert found["elevation_rank"] == pytest.approx(0, abs=1e-5)
    assert 0 <= found["identity_color"] <= 1


def test_one_scene_cannot_be_swapped() -> None:
    with pytest.raises(GanverseError, match="two scenes"):
        measure(0, count=1)


def test_a_ratio_tells_a_swap_from_none_and_is_not_ruled_by_pairs_that_look_alike() -> None:
    own = torch.rand(4, 3, 8, 8)
    index = torch.tensor([1, 2, 3, 0])
    assert swap_ratio(torch.lerp(own[index], own, 0.2), own, index).value == pytest.approx(0.25)
    assert swap_ratio(own, own, index).value > 1e6
    assert swap_ratio(own[:, 0, 0, :3], own[:, 0, 0, :3], index).value > 1e6, "colors too"
    own[1] = own[0] + 1e-4
    assert swap_ratio(own[index] + 0.01, own, index).value < 0.1


def test_ranks_see_order_only_and_slopes_how_far() -> None:
    requested = torch.tensor([[0.0, 1.0, 2.0]]).expand(4, -1)
    measured = torch.tensor([[5.0, 5.1, 9.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [1.0, 1.0, 1.0]])
    rank, slope = rank_and_slope(requested, measured)
    assert rank.tolist() == pytest.approx([1.0, -1.0, 0.5, 0.0], abs=1e-5)
    assert slope.tolist() == pytest.approx([2.0, -1.0, 0.5, 0.0], abs=1e-5)


class _Features(nn.Module):
    num_features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_frechet_distance_grows_with_damage() -> None:
    source = torch.Generator().manual_seed(0)
    real, near, far = ([torch.rand(100, 3, 8, 8, generator=source) + s for _ in range(2)] for s in (0.0, 0.05, 0.1))
    assert frechet_distance(real, real, _Features()) == pytest.approx(0, abs=1e-5)
    ratio = frechet_distance(real, far, _Features()) / frechet_distance(real, near, _Features())
    assert ratio == pytest.approx(4, rel=0.1)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return tiny_studio()


def test_scores_of_tiny_networks(studio: Studio) -> None:
    scores = control_scores(studio, TINY_SETTINGS)
    assert 0 <= scores["azimuth_error_deg"].value <= 180
    assert scores["quality_ratio"].value > 0
    assert "quality_ratio" not in control_scores(studio, replace(TINY_SETTINGS, quality_images=0))


def test_intervals_resample_scenes_not_images(studio: Studio) -> None:
    """A scene's images under many cameras are no independent ones: more of them do not shrink the interval."""
    scores = control_scores(studio, replace(TINY_SETTINGS, quality_images=0))
    for name in ("azimuth_error_deg", "elevation_rank", "scale_slope", "swap_texture_ratio"):
        assert scores[name].count == TINY_SETTINGS.control_objects, name
    per_scene = torch.rand(20, 1)
    few, many = (Score.of(per_scene + 1e-3 * torch.rand(20, images)) for images in (2, 50))
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.02)
    pretended = Score.of((per_scene + 1e-3 * torch.rand(20, 50)).flatten())
    assert pretended.low is not None
    assert pretended.high is not None
    assert pretended.high - pretended.low < (many.high - many.low) / 4


def test_the_gan_itself_is_a_perfect_swap_where_object_and_view_are_the_same(studio: Studio) -> None:
    batch = held_out_samples(studio.source, 0, 3, views=1).draw(torch.arange(3))
    scores = gan_scores(studio, batch)
    assert all(score.value > 0 for score in scores.values())
    alike = replace(batch, view_ids=batch.view_ids[:1].expand(3, -1))
    views = view_styles(studio.source.generator, studio.source.codes)[alike.view_ids[:, 0]]
    shown = mix_styles(batch.styles[:, 0], views, studio.source.codes.view_dims)
    images = studio.source.generator.synthesize(shown)
    scores = gan_scores(studio, replace(alike, images=images[:, None]))
    assert scores["swap_texture_gan"].value == pytest.approx(0, abs=1e-3)
    assert scores["swap_paint_gan"].value == pytest.approx(0, abs=1e-3)


def test_cameras_are_predicted_in_the_network_s_own_world(studio: Studio) -> None:
    images = torch.rand(2, 3, 32, 32)
    turned = replace(studio, alignment=Alignment(yaw=0.5))
    straight, shifted = (s.probes.pose(images).azimuth for s in (studio, turned))
    assert torch.allclose(straight - 0.5, shifted)


def test_scenes_take_the_first_view(studio: Studio) -> None:
    batch = held_out_samples(studio.source, 0, 2, views=2).draw(torch.arange(2))
    scenes = studio.scenes(batch)
    assert torch.equal(scenes.cameras.azimuth, studio.model.cameras(batch.view_ids[:, 0]).azimuth)
    assert torch.equal(scenes.vertices, studio.model.network(batch.images[:, 0]).vertices)
    assert scenes.background.shape == (2, 3, 32, 32)


def test_features_are_the_inputs_of_the_last_layer() -> None:
    regressor, images = PoseRegressor().eval(), torch.rand(2, 3, 64, 64)
    features = RegressorFeatures(regressor)
    assert features(images).shape == (2, features.num_features)
    assert torch.allclose(regressor.head[-1](features(images)), regressor.raw(images), atol=1e-5)
    assert features(torch.rand(2, 3, 32, 32)).shape == (2, features.num_features)
