"""Views that nobody annotated: are their cameras right, and how do they enter the training scenes?"""

import pytest
import torch

from ganverse.data.sources import world_view_codes
from ganverse.errors import GanverseError
from ganverse.geometry.cameras import angular_difference
from ganverse.inverse.weights import load_inverse
from ganverse.masks.segmenter import Segmenter
from ganverse.neural_renderer.found_views import (
    FoundViews,
    FoundViewSettings,
    camera_numbers,
    cameras_from_numbers,
    find_views,
    under_found_views,
    view_weights,
)
from ganverse.neural_renderer.training_scenes import FrozenNetworks, read_training_scene
from ganverse.pretrained import SHIPPED
from ganverse.viewpoints.view_codes import mix_styles
from ganverse.worlds.generator import CarWorldGenerator
from tests.neural_renderer.toys import CODES, ToyGenerator, toy_batch, toy_cameras, toy_networks

FEW = FoundViewSettings(candidates=6, objects=2, steps=2, worst=10.0)


def test_the_cameras_found_in_the_car_world_are_the_true_ones() -> None:
    world, oracle = CarWorldGenerator(64), load_inverse(SHIPPED / "oracle-car.safetensors")
    networks = FrozenNetworks(oracle.network, oracle.cameras, Segmenter.from_pretrained())
    settings = FoundViewSettings(candidates=16, objects=3)
    found = find_views(world, world_view_codes(world), networks, settings, seed=0)
    kept = found.weights > 0
    truth = world.cameras(torch.nn.functional.pad(found.styles, (0, world.style_sizes[1])))[kept]
    cameras = cameras_from_numbers(found.cameras[kept])
    assert angular_difference(cameras.azimuth, truth.azimuth).abs().median().rad2deg() < 3
    assert (cameras.elevation - truth.elevation).abs().median().rad2deg() < 2
    assert truth.elevation.std().rad2deg() > 5, "their mean would not do"


def test_numbers_and_cameras_convert_both_ways() -> None:
    cameras = toy_cameras(5)
    again = cameras_from_numbers(camera_numbers(cameras))
    for name in ("azimuth", "elevation", "distance", "offset"):
        assert torch.allclose(getattr(again, name), getattr(cameras, name))


def test_every_side_is_shown_alike_and_bad_fits_never() -> None:
    azimuth = torch.cat([torch.full((20,), 0.1), torch.full((10,), -0.1), torch.tensor([2.0])])
    losses = torch.cat([torch.arange(30) / 20, torch.tensor([3.0])])
    weights = view_weights(azimuth, losses, FoundViewSettings(kept=0.5, worst=1.22))
    assert (weights[:10] == 0.1).all(), "the better half"
    assert (weights[10:20] == 0).all()
    assert (weights[20:25] == 0.2).all()
    assert (weights[25:] == 0).all(), "the worse half, and what fits nowhere"
    assert view_weights(azimuth[:1], losses[:1], FoundViewSettings()).tolist() == [0.25]
    degrees = torch.tensor([1.0, 8, 15, 22, 29, 31, -1])  # sectors have 30 degrees
    shown = view_weights(degrees.deg2rad(), torch.zeros(7), FoundViewSettings(kept=1.0))
    assert shown.tolist() == pytest.approx([1 / 5] * 5 + [1 / 4] * 2)


def test_views_come_up_as_often_as_they_weigh() -> None:
    found = FoundViews(torch.zeros(4, 1), torch.zeros(4, 5), torch.tensor([0.0, 3.0, 0.0, 1.0]))
    counts = found.choose(torch.arange(400) / 400).bincount(minlength=4)
    assert counts.tolist() == [0, 300, 0, 100]


def test_a_share_of_the_scenes_is_under_found_views() -> None:
    networks, generator = toy_networks(), ToyGenerator()
    scene = read_training_scene(toy_batch(generator, networks), networks, views=1)
    found = FoundViews(torch.randn(3, 2), torch.randn(3, 5), torch.tensor([0.0, 0.0, 1.0]))
    chance = torch.tensor([[0.1, 0.5], [0.9, 0.5], [0.2, 0.5], [0.8, 0.5]])
    rows, kept = [0, 2], [1, 3]
    for own in (False, True):
        made = under_found_views(scene, found, generator, CODES, networks, chance, share=0.5, own_texture=own)
        assert torch.equal(made.styles[rows], mix_styles(scene.styles[rows], found.styles[[2, 2]], CODES.view_dims))
        assert torch.allclose(made.images[rows], generator.synthesize(made.styles[rows]))
        assert torch.equal(made.masks[rows], networks.segmenter.probability(made.images[rows]))
        assert torch.equal(made.inputs.cameras.elevation[rows], found.cameras[[2, 2], 1])
        own_textures = networks.inverse(made.images[rows]).texture
        expected = own_textures if own else scene.inputs.texture[rows]
        assert torch.allclose(made.inputs.texture[rows], expected)
        for name in ("styles", "images", "masks"):
            assert torch.equal(getattr(made, name)[kept], getattr(scene, name)[kept])
        assert torch.allclose(camera_numbers(made.inputs.cameras)[kept], camera_numbers(scene.inputs.cameras)[kept])


def test_views_are_found_for_a_toy_and_are_a_pure_function_of_the_seed() -> None:
    networks, generator = toy_networks(), ToyGenerator()
    found, again = (find_views(generator, CODES, networks, FEW, seed=3) for _ in range(2))
    assert 0 < int((found.weights > 0).sum()) < FEW.candidates
    assert torch.isfinite(found.cameras).all()
    assert torch.equal(found.cameras, again.cameras)
    assert found.styles.shape == (FEW.candidates, 2)


@pytest.mark.parametrize("wrong", [{"candidates": -1}, {"objects": 0}, {"kept": 1.5}, {"share": -0.1}])
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(GanverseError, match=r"expected (candidates|objects|steps|kept|share) to be"):
        FoundViewSettings(**wrong)
