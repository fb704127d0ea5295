"""A photo corrects what the network saw: towards its silhouette and colors, and no further."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.reconstruction.photos import Photo, masked_object
from ganverse.reconstruction.reconstructor import Reconstructor
from ganverse.reconstruction.refinement import (
    RefinementSettings,
    best_hypothesis,
    refine,
    silhouette_agreement,
    view,
)
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.reconstruction.toys import NETWORK

SETTINGS = RefinementSettings(steps=16, size=48)


def seen(symmetric: bool = True) -> tuple[InverseGraphicsNetwork, Reconstruction]:
    torch.manual_seed(0)
    network = InverseGraphicsNetwork(replace(NETWORK, symmetric=symmetric))
    with torch.no_grad():
        return network, network(torch.rand(1, 3, 32, 32))


def target(network: InverseGraphicsNetwork, start: Reconstruction) -> tuple[torch.Tensor, torch.Tensor]:
    """A red object that is higher than the start and seen from a little further left."""
    moved = replace(
        start,
        vertices=start.vertices * torch.tensor([1.0, 1.3, 0.9]),
        texture=torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1).expand_as(start.texture),
        camera=replace(start.camera, azimuth=start.camera.azimuth + 0.9),
    )
    drawn = view(network, moved, SETTINGS.size)
    return drawn.rgb, (drawn.face_index >= 0)[:, None].float()


def turned(start: Reconstruction, azimuth: float) -> Reconstruction:
    """Seen from the side, where the silhouette tells a turn."""
    camera = start.camera
    return replace(start, camera=Cameras(camera.azimuth + azimuth, camera.elevation, camera.distance, camera.offset))


def test_silhouette_and_color_come_closer() -> None:
    network, start = seen()
    picture, mask = target(network, start)
    start = turned(start, 0.8)
    refined = refine(network, start, picture, mask, SETTINGS)
    before, after = (float(silhouette_agreement(network, one, mask)) for one in (start, refined))
    assert after > before + 0.03

    def error(one: Reconstruction) -> float:
        return float(((view(network, one, SETTINGS.size).rgb - picture).abs() * mask).sum() / mask.sum())

    assert error(refined) < 0.7 * error(start)
    assert not refined.vertices.requires_grad
    assert (refined.vertices - refined.displacement - network.start).abs().max() < 1e-5
    assert 0 <= float(refined.texture.min()) <= float(refined.texture.max()) <= 1


def test_the_best_of_several_cameras_explains_silhouettes_better() -> None:
    """Cars of the world through the network of the package, which was trained on the GAN's pictures."""
    network = Reconstructor.from_pretrained("car", device="cpu").network
    styles, images, masks = world_samples(7, torch.arange(10), CarWorldGenerator(64))
    truth = torch.atan2(styles[:, :1], styles[:, 1:2])
    errors, ious = [], []
    for index in range(10):
        found = masked_object(Photo("a car", images[index : index + 1]), masks[index : index + 1])
        with torch.no_grad():
            predicted = network(found.picture(64))
        best = best_hypothesis(network, found, RefinementSettings(steps=0, hypothesis_steps=8))
        for one in (predicted, best):
            ious.append(float(silhouette_agreement(network, one, found.mask(128))))
            errors.append(float(angular_difference(one.camera.azimuth, truth[index]).abs()))
    (first, second), (before, after) = (torch.tensor(x).view(10, 2).T for x in (ious, errors))
    assert second.mean() > first.mean() + 0.04
    assert (after > 1.6).sum() <= (before > 1.6).sum()


def test_an_assumed_camera_replaces_the_predicted_one() -> None:
    network, start = seen()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        plain, same = network(image), network(image, network(image).camera)
        other = network(image, turned(start, 0.8).camera)
    assert torch.equal(plain.texture, same.texture)
    assert torch.equal(plain.vertices, other.vertices)
    assert torch.equal(other.camera.azimuth, turned(start, 0.8).camera.azimuth)


@pytest.mark.parametrize("symmetric", [True, False])
def test_symmetric_objects_stay_symmetric(symmetric: bool) -> None:
    network, start = seen(symmetric)
    picture, mask = target(network, start)
    refined = refine(network, turned(start, 0.8), picture, mask, SETTINGS)
    mirrored = refined.vertices[:, network.pairs] * torch.tensor([-1.0, 1.0, 1.0])
    assert ((refined.vertices - mirrored).abs().max() < 1e-4) == symmetric


def test_the_camera_comes_first() -> None:
    network, start = seen()
    picture, mask = target(network, start)
    only_camera = refine(network, start, picture, mask, replace(SETTINGS, steps=3, camera_share=1.0))
    assert torch.equal(only_camera.vertices, start.vertices)
    assert torch.equal(only_camera.texture, start.texture)
    assert not torch.equal(only_camera.camera.azimuth, start.camera.azimuth)


def test_objects_of_a_batch_do_not_know_each_other() -> None:
    network, start = seen()
    picture, mask = target(network, start)
    one = refine(network, start, picture, mask, replace(SETTINGS, steps=4))
    noise = torch.cat([picture, torch.rand_like(picture)]), torch.cat([mask, torch.ones_like(mask)])
    two = refine(network, start.repeat_interleave(2), *noise, replace(SETTINGS, steps=4))
    assert torch.allclose(two.vertices[:1], one.vertices, atol=1e-5)
    assert not torch.allclose(two.vertices[1:], one.vertices, atol=1e-3)


def test_no_steps_change_nothing_and_fewer_are_refused() -> None:
    network, start = seen()
    picture, mask = target(network, start)
    same = refine(network, start, picture, mask, replace(SETTINGS, steps=0))
    assert torch.equal(same.vertices, start.vertices)
    for wrong in ({"steps": -1}, {"hypothesis_steps": -1}, {"size": 8}):
        with pytest.raises(GanverseError, match=r"expected (steps|hypothesis_steps|size) to be"):
            RefinementSettings(**wrong)
