import math
from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.neural_renderer.mapping import (
    COARSE,
    CameraMapping,
    ImageMapping,
    ShapeMapping,
    StyleFusion,
    camera_features,
)
from tests.neural_renderer.toys import SETTINGS, toy_cameras


def test_azimuth_closes_the_circle() -> None:
    zero = Cameras.from_degrees([0.0, 20.0], [5.0, 5.0], [4.0, 4.0])
    full = Cameras.from_degrees([360.0, -340.0], [5.0, 5.0], [4.0, 4.0])
    assert torch.allclose(camera_features(zero), camera_features(full), atol=1e-5)


def test_camera_mapping_learns_codes_and_is_smooth_between_them() -> None:
    torch.manual_seed(0)
    cameras = toy_cameras(12)
    target = torch.stack([cameras.azimuth.sin(), cameras.elevation], dim=1)
    mapping = CameraMapping(2, SETTINGS)
    mapping.calibrate(cameras)
    inputs: list[torch.Tensor] = []
    with mapping.layers.register_forward_pre_hook(lambda _, given: inputs.append(given[0])):
        mapping(cameras)
    assert inputs[0][:, 2:].mean(dim=0).abs().max() < 1e-5
    assert torch.allclose(inputs[0][:, :2].square().sum(dim=1), torch.ones(12)), "sine and cosine are left alone"
    optimizer = torch.optim.Adam(mapping.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (mapping(cameras) - target).square().mean().backward()
        optimizer.step()
    between = Cameras(
        cameras.azimuth + math.pi / 12, *(getattr(cameras, n) for n in ("elevation", "distance", "offset"))
    )
    error = (mapping(between)[:-1, 0] - between.azimuth[:-1].sin()).abs()
    assert error.max() < 0.15


def test_shape_mapping_standardizes() -> None:
    mapping = ShapeMapping(5, 4, 2, SETTINGS)
    vertices = torch.randn(50, 5, 3) * 0.01 + 7
    mapping.calibrate(vertices)
    inputs: list[torch.Tensor] = []
    mapping.layers.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    assert mapping(vertices).shape == (50, 4)
    assert inputs[0].mean(dim=0).abs().max() < 1e-3
    assert inputs[0].square().mean().sqrt().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(mapping.view(vertices), torch.zeros(50, 2))


def test_of_a_finer_template_the_coarser_one_is_read() -> None:
    fine, coarse = sphere_template(4).vertices, sphere_template(3).vertices
    torch.testing.assert_close(fine[:, :COARSE], coarse)
    mapping = ShapeMapping(fine.shape[1], 4, 2, SETTINGS)
    mapping.calibrate(fine * torch.tensor([0.5, 1.0, 2.0])[:, None, None])
    detailed, other = fine.clone(), fine.clone()
    detailed[:, COARSE:] *= 1.1
    other[:, :COARSE] *= 1.1
    assert torch.equal(mapping(detailed), mapping(fine))
    assert (mapping(other) - mapping(fine)).abs().max() > 1e-4


def test_image_mapping_keeps_positions() -> None:
    torch.manual_seed(0)
    mapping = ImageMapping(16, 4, SETTINGS)
    left, right = torch.zeros(2, 1, 3, 16, 16).unbind()
    left[..., 2], right[..., 13] = 1, 1
    assert not torch.allclose(mapping(left), mapping(right), atol=1e-4)


@pytest.mark.parametrize("size", [4, 24])
def test_image_mapping_refuses_other_sizes(size: int) -> None:
    with pytest.raises(GanverseError, match="power of two"):
        ImageMapping(size, 4)


def test_image_mapping_names_the_size_it_wants() -> None:
    with pytest.raises(GanverseError, match="16"):
        ImageMapping(16, 4, SETTINGS)(torch.zeros(1, 3, 32, 32))


def test_large_pictures_are_averaged_first() -> None:
    torch.manual_seed(0)
    mapping = ImageMapping(32, 4, replace(SETTINGS, picture=8))
    image = torch.rand(2, 3, 32, 32)
    shuffled = image.unflatten(2, (8, 4)).flip(3).flatten(2, 3)  # within each averaged block
    assert torch.allclose(mapping(image), mapping(shuffled), atol=1e-5)
    with pytest.raises(GanverseError, match="picture"):
        replace(SETTINGS, picture=12)


def test_weights_sum_to_one_and_start_even() -> None:
    fusion = StyleFusion(7)
    assert torch.allclose(fusion.weights, torch.full((3, 7), 1 / 3))
    fusion.logits.data.normal_(std=5.0)
    assert torch.allclose(fusion.weights.sum(dim=0), torch.ones(7))
    assert torch.allclose(fusion.shares().sum(), torch.tensor(1.0))


def test_minimizing_the_entropy_ends_one_hot() -> None:
    torch.manual_seed(0)
    fusion = StyleFusion(20)
    assert torch.allclose(fusion.entropy(), torch.full((20,), math.log(3)))
    fusion.logits.data.normal_(std=0.1)
    winners = fusion.logits.argmax(dim=0)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        fusion.entropy().sum().backward()
        optimizer.step()
    assert fusion.weights.amax(dim=0).min() > 0.98
    assert torch.equal(fusion.logits.argmax(dim=0), winners)


def test_one_hot_dimension_takes_one_source_only() -> None:
    fusion = StyleFusion(3)
    fusion.logits.data = torch.eye(3) * 100
    sources = [torch.full((2, 3), float(i)) for i in range(3)]
    assert torch.allclose(fusion(*sources), torch.tensor([[0.0, 1.0, 2.0]] * 2))


def test_each_dimension_finds_the_source_that_explains_it() -> None:
    torch.manual_seed(0)
    fusion = StyleFusion(6)
    shape, texture, background = torch.randn(3, 64, 6).unbind()
    target = torch.cat([shape[:, :2], texture[:, 2:4], background[:, 4:]], dim=1)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = (fusion(shape, texture, background) - target).square().mean() + 0.1 * fusion.entropy().mean()
        loss.backward()
        optimizer.step()
    assert fusion.logits.argmax(dim=0).tolist() == [0, 0, 1, 1, 2, 2]
    assert fusion.weights.amax(dim=0).min() > 0.9
