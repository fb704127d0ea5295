from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.meshes import mirror_pairs, sphere_template
from ganverse.inverse.network import CameraHead, InverseGraphicsNetwork, InverseNetworkConfig
from tests.inverse.tiny import TINY, tiny_batch

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def scrambled(config: InverseNetworkConfig = TINY) -> InverseGraphicsNetwork:
    """With outputs far from their start values."""
    torch.manual_seed(3)
    network = InverseGraphicsNetwork(config)
    with torch.no_grad():
        network.shape.weight.normal_(std=0.5)
        for block in network.encoder.blocks:
            block.second.weight.normal_(std=0.05)
        network.camera.linear.weight.normal_(std=0.5)
        network.mean_shape.normal_(std=0.05)
        network.texture.decoder.to_maps.weight.normal_(std=0.3)
    return network


@pytest.fixture(scope="module")
def images():
    return tiny_batch().images.flatten(0, 1)


def test_starts_as_the_ellipsoid_of_the_configuration(images):
    network = InverseGraphicsNetwork(TINY)
    seen = network(images)
    expected = sphere_template(2).vertices * torch.tensor(TINY.axes)
    torch.testing.assert_close(seen.vertices, expected.expand_as(seen.vertices))
    assert seen.displacement.abs().max() == 0
    assert seen.light is None
    torch.testing.assert_close(seen.camera.distance, torch.full((len(images),), 4.0), atol=0.5, rtol=0)


def test_default_network_is_small_and_has_the_papers_template():
    network = InverseGraphicsNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) < 7_500_000
    assert network.template.vertices.shape[1:] == (642, 3)
    assert len(network.template.faces) == 1280


def test_texture_is_a_picture(images):
    seen = scrambled()(images)
    assert seen.texture.shape == (len(images), 3, 32, 32)
    assert seen.texture.min() >= 0
    assert seen.texture.max() <= 1
    assert (seen.texture[0] - seen.texture[2]).abs().max() > 0.01


def test_symmetric_vertices_stay_symmetric(images):
    network = scrambled()
    vertices = network(images).vertices
    pairs = mirror_pairs(network.template.vertices[0])
    torch.testing.assert_close(vertices[:, pairs] * MIRROR, vertices)
    free = scrambled(replace(TINY, symmetric=False))
    vertices = free(images).vertices
    assert (vertices[:, pairs] * MIRROR - vertices).abs().max() > 0.01


def test_what_the_camera_sees_is_copied_into_the_texture():
    """A picture whose left half is red and right half blue colors the two ends of an object seen from its side."""
    network = InverseGraphicsNetwork(TINY)
    with torch.no_grad():
        network.camera.start[:2] = torch.tensor([1.0, 0.0])  # azimuth 90: the front (+z) is on the left
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :, :16], image[:, 2, :, 16:] = 1, 1
    texture = network(image).texture[0]
    front, rear = texture[:, 22, 26], texture[:, 22, 6]
    assert front[0] - front[2] > 0.3
    assert rear[2] - rear[0] > 0.3
    # The hidden side takes from the visible one.
    assert texture[0, 9, 26] - texture[2, 9, 26] > 0.3


def test_light_starts_as_ambient(images):
    network = InverseGraphicsNetwork(replace(TINY, light=True))
    light = network(images).light
    assert light is not None
    torch.testing.assert_close(light, torch.eye(9)[:1].expand_as(light))


def test_every_parameter_learns(images):
    network = scrambled(replace(TINY, light=True))
    seen = network(images)
    total = seen.vertices.square().sum() + seen.texture.square().sum() + seen.light.square().sum()
    (total + seen.camera.position.sum() + seen.camera.offset.sum()).backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert unused == []


def test_shape_does_not_follow_the_texture(images):
    """Only renders may move vertices: the flow would otherwise pull the shape to where the colors are."""
    network = scrambled()
    network(images).texture.sum().backward()
    assert network.shape.weight.grad is None
    assert network.mean_shape.grad is None


def test_pictures_of_another_size_and_impossible_levels_are_refused(images):
    with pytest.raises(GanverseError, match="32 x 32"):
        InverseGraphicsNetwork(TINY)(images[..., :16])
    for wrong in ({"resolution": 36}, {"texture_channels": (12, 8)}):
        with pytest.raises(GanverseError, match="channels"):
            replace(TINY, **wrong)
    with pytest.raises(GanverseError, match="camera_distance"):
        replace(TINY, camera_distance=0.5)


def test_the_smallest_network_works_and_anything_below_is_refused():
    smallest = InverseNetworkConfig(
        resolution=4,
        subdivisions=0,
        smoothing=0.0,
        unshuffle=1,
        channels=(8, 8),
        latent=1,
        texture_size=4,
        texture_channels=(8,),
        palette=1,
    )
    seen = InverseGraphicsNetwork(smallest)(torch.rand(2, 3, 4, 4))
    assert seen.vertices.isfinite().all()
    assert seen.texture.shape == (2, 3, 4, 4)
    for name in ("resolution", "subdivisions", "smoothing", "unshuffle", "latent", "texture_size", "palette"):
        lowest = getattr(smallest, name)
        with pytest.raises(GanverseError, match=f"expected {name} to be from {lowest:g} to"):
            replace(smallest, **{name: lowest - 1})


def test_a_step_of_adam_turns_the_camera_by_few_degrees():
    """Adam moves each of 512 weights by the learning rate, all in one direction: the sum is 400 learning rates."""
    head, latent = CameraHead(512, 4.0), torch.randn(1, 512)
    camera = head(latent)
    assert (camera.azimuth.item(), camera.elevation.item(), camera.distance.item()) == pytest.approx((0, 0, 4))
    (camera.azimuth + camera.elevation + camera.distance).sum().backward()
    torch.optim.Adam(head.parameters(), 1e-3).step()
    moved = head(latent)
    for angle in (moved.azimuth, moved.elevation):
        assert 1 < -math.degrees(angle.item()) < 5
    assert -0.05 < moved.distance.log().item() - math.log(4) < -0.02


def test_autocast_keeps_geometry_in_single_precision(images):
    network = scrambled()
    exact = network(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(images)
    assert rough.vertices.dtype == rough.texture.dtype == torch.float32
    assert (rough.vertices - exact.vertices).abs().max() < 0.02


def test_everything_follows_to_another_device(images, monkeypatch):
    """Tensors of the meta device stand for a GPU's: an operation that mixes the two raises."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know this device
    network = InverseGraphicsNetwork(replace(TINY, light=True)).to("meta")
    assert network(images.to("meta")).vertices.is_meta
    assert all(x.is_meta for x in (network.template.vertices, network.template.face_uvs, network.adjacency.degree))
