from dataclasses import replace

import torch

from ganverse.neural_renderer.scenes import background_mask
from ganverse.neural_renderer.training_scenes import draw_batches, fingerprint, read_training_scene
from tests.neural_renderer.toys import CODES, ToyGenerator, toy_batch, toy_networks

NETWORKS = toy_networks()
BATCH = toy_batch(ToyGenerator(), NETWORKS)


def test_scenes_are_read_from_one_view_under_the_camera_of_the_next() -> None:
    scene = read_training_scene(BATCH, NETWORKS)
    assert len(scene) == 8
    assert torch.equal(scene.images[:4], BATCH.images[:, 1])
    assert torch.equal(scene.masks[:4], BATCH.masks[:, 1])
    assert torch.equal(scene.styles[4:], BATCH.styles[:, 0])
    expected = NETWORKS.inverse(BATCH.images[:, 0]).vertices
    assert torch.allclose(scene.inputs.vertices[:4], expected, atol=1e-6)
    azimuth = NETWORKS.cameras(BATCH.view_ids[:, 1]).azimuth
    assert torch.equal(scene.inputs.cameras.azimuth[:4], azimuth)
    assert scene.keys.unique().numel() == 8


def test_fewer_views_are_the_first_ones() -> None:
    one, both = read_training_scene(BATCH, NETWORKS, views=1), read_training_scene(BATCH, NETWORKS)
    assert torch.allclose(one.inputs.vertices, both.inputs.vertices[:4], atol=1e-6)
    assert torch.equal(one.images, both[:4].images)
    assert torch.equal(one.keys, both[:4].keys)


def test_the_composite_is_the_object_on_the_background_of_the_inputs() -> None:
    scene = read_training_scene(BATCH, NETWORKS, views=1)
    masks = torch.zeros_like(scene.masks)
    masks[..., 4:12, 4:12] = 1
    composite = replace(scene, masks=masks).composite()
    assert torch.equal(composite[..., 4:12, 4:12], scene.images[..., 4:12, 4:12])
    assert torch.equal(composite[..., :4, :], scene.inputs.background[..., :4, :])


def test_a_black_hole_is_among_the_inputs_only() -> None:
    batch = replace(BATCH, masks=torch.zeros_like(BATCH.masks))
    batch.masks[..., 5:11, 5:11] = 1
    black, filled = (read_training_scene(batch, NETWORKS, views=1, fill=fill) for fill in (False, True))
    assert 0.3 < black.visible.mean() < 0.9
    assert (filled.background[..., 5:11, 5:11] > 0).all()
    assert torch.equal(black.background, filled.background)
    assert torch.equal(black.inputs.background, black.background * black.visible)
    assert torch.equal(filled.inputs.background, filled.background)


def test_the_texture_may_be_that_of_the_target() -> None:
    scenes = [read_training_scene(BATCH, NETWORKS, views=1, own_texture=own) for own in (False, True)]
    for scene, view in zip(scenes, (0, 1), strict=True):
        expected = NETWORKS.inverse(BATCH.images[:, view]).texture
        assert torch.allclose(scene.inputs.texture, expected, atol=1e-6)
    assert torch.equal(scenes[0].inputs.vertices, scenes[1].inputs.vertices)


def test_visible_is_what_the_lender_of_the_background_showed() -> None:
    scene = read_training_scene(BATCH, NETWORKS)
    assert torch.equal(scene.visible[:4], background_mask(BATCH.masks[:, 0]))


def test_drawn_objects_are_a_pure_function_of_the_seed_in_all_views() -> None:
    generator = ToyGenerator()
    first, again, other = (draw_batches(generator, CODES, NETWORKS, 40, seed) for seed in (0, 0, 1))
    assert [len(batch.images) for batch in first] == [32, 8]
    assert first[0].view_ids.flatten()[:5].tolist() == [0, 1, 2, 3, 0]
    assert torch.equal(first[1].images, again[1].images)
    assert not torch.isclose(first[1].images, other[1].images).all(dim=-1).any()


def test_frozen_networks_are_frozen_and_known_by_their_weights() -> None:
    networks = toy_networks()
    assert not any(p.requires_grad for network in networks.networks() for p in network.parameters())
    assert not any(network.training for network in networks.networks())
    assert networks.fingerprints() == NETWORKS.fingerprints()
    assert networks.fingerprints()["inverse"] != toy_networks(seed=2).fingerprints()["inverse"]
    assert fingerprint(networks.inverse.half().float()) != NETWORKS.fingerprints()["inverse"]
