import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ganverse.generators.framing import Framing
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.neural_renderer.controls import (
    azimuth_sweep,
    cameras_between,
    jittered,
    ladders,
    random_cameras,
    render_in_chunks,
    render_meshes,
    swap_matrix,
    typical_cameras,
    under_each,
)
from ganverse.rendering import render
from tests.neural_renderer.toys import toy_renderer, toy_scenes

TABLE = Cameras.from_degrees([10.0, 350.0, 180.0], [0.0, 10.0, 20.0], [4.0, 4.0, 5.0])


def test_between_two_codes_parameters_are_interpolated_across_zero() -> None:
    cameras = cameras_between(TABLE, torch.deg2rad(torch.tensor([0.0, 10.0, 5.0, 180.0, 265.0])))
    expected = torch.deg2rad(torch.tensor([5.0, 0.0, 2.5, 20.0, 15.0]))
    assert torch.allclose(cameras.elevation, expected, atol=1e-4)
    assert torch.allclose(cameras.distance[3], torch.tensor(5.0))


def test_one_code_is_its_own_neighbor() -> None:
    cameras = cameras_between(TABLE[:1], torch.tensor([0.0, 2.0, -3.0]))
    assert torch.allclose(cameras.distance, torch.full((3,), 4.0))
    assert cameras.azimuth.tolist() == torch.tensor([0.0, 2.0, -3.0]).tolist()


def test_random_cameras_stay_within_the_table() -> None:
    uniform = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    cameras = random_cameras(TABLE, uniform)
    assert cameras.azimuth.max() > 1.8 * math.pi
    assert cameras.azimuth.min() < 0.2 * math.pi
    assert cameras.elevation.min() >= 0
    assert cameras.elevation.max() <= math.radians(20) + 1e-5
    assert cameras.distance.min() >= 4 - 0.1
    assert cameras.distance.max() <= 5 + 0.1


def test_half_of_the_random_cameras_have_any_elevation_at_their_azimuth() -> None:
    uniform = torch.tensor([[0.5, 0.0, 0.2], [0.5, 0.0, 0.5], [0.5, 0.0, 0.75], [0.5, 0.0, 1.0]])
    elevation = random_cameras(TABLE, uniform).elevation.rad2deg()
    assert torch.allclose(elevation, torch.tensor([20.0, 0.0, 10.0, 20.0]), atol=1e-3)


def test_typical_distance_follows_the_azimuth() -> None:
    """A GAN that frames ends from 3.3 and sides from 4.2, with noise: the sweep does the same, smoothly."""
    azimuth = torch.arange(24) * (2 * math.pi / 24)
    noise = 0.1 * torch.randn(24, generator=torch.Generator().manual_seed(0))
    distance = 3.75 - 0.45 * (2 * azimuth).cos() + noise
    table = Cameras(azimuth, 0.2 + noise, distance, torch.zeros(24, 2))
    cameras = typical_cameras(table, torch.tensor([0.0, math.pi / 2, math.pi, 3 * math.pi / 2]))
    assert torch.allclose(cameras.distance, torch.tensor([3.3, 4.2, 3.3, 4.2]), atol=0.12)
    assert torch.allclose(cameras.elevation, table.elevation.mean().expand(4))
    one = typical_cameras(table[:1], torch.tensor([1.0]))
    assert torch.allclose(one.distance, table.distance[:1], atol=1e-3)


def test_sweep_orders_scene_by_scene() -> None:
    scenes = toy_scenes(2)
    sweep = azimuth_sweep(scenes, TABLE, [0.0, 90.0, 180.0])
    assert len(sweep) == 6
    assert torch.allclose(sweep.cameras.azimuth, torch.deg2rad(torch.tensor([0.0, 90, 180] * 2)))
    assert torch.allclose(sweep.cameras.elevation, TABLE.elevation.mean().expand(6))
    assert torch.equal(sweep.vertices[3], scenes.vertices[1])


def test_swap_matrix_moves_one_factor_only() -> None:
    scenes = toy_scenes(3)
    matrix = swap_matrix(scenes, "texture")
    row, column = 1, 2
    entry = matrix[torch.tensor([row * 3 + column])]
    assert torch.equal(entry.texture[0], scenes.texture[column])
    assert torch.equal(entry.vertices[0], scenes.vertices[row])
    assert torch.equal(entry.background[0], scenes.background[row])
    assert torch.equal(entry.cameras.azimuth, scenes.cameras.azimuth[row : row + 1])
    assert torch.equal(swap_matrix(scenes, "shape").vertices[5], scenes.vertices[2])
    assert torch.equal(swap_matrix(scenes, "background").background[5], scenes.background[2])


def test_chunks_change_nothing() -> None:
    renderer, scenes = toy_renderer(), toy_scenes(5)
    images = render_in_chunks(renderer, scenes, chunk=2)
    assert torch.allclose(images, renderer.render(scenes), atol=1e-6)
    assert not images.requires_grad


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (64, 64), (20, 24)])
def test_meshes_stand_where_the_networks_see_them(size: tuple[int, int]) -> None:
    renderer, template = toy_renderer(), sphere_template(2)
    framing = renderer.framing = Framing(*size, 32)
    scenes = replace(toy_scenes(3), vertices=0.3 * template.vertices.expand(3, -1, -1))
    images = render_meshes(renderer, template, scenes)
    assert images.shape == (3, 3, *size)
    drawn = render(template.with_vertices(scenes.vertices), scenes.texture, scenes.cameras, size=32).face_index >= 0
    covered = framing.apply((images < 1).any(dim=1, keepdim=True).float())[:, 0] > 0.5
    assert (covered & drawn).sum() > 0.9 * (covered | drawn).sum()


def test_ladders_climb_one_parameter_and_keep_the_others() -> None:
    rising, leaving = ladders(TABLE, [0.0, 90.0], 3)
    assert torch.allclose(rising.elevation, torch.deg2rad(torch.tensor([0.0, 10.0, 20.0] * 2)), atol=1e-6)
    assert leaving.distance.view(2, 3).diff(dim=1).min() > 0
    for cameras in (rising, leaving):
        assert torch.allclose(cameras.azimuth, torch.deg2rad(torch.tensor([0.0] * 3 + [90.0] * 3)))
    assert torch.allclose(rising.distance[:3], leaving.distance[1].expand(3))
    assert torch.allclose(leaving.elevation, TABLE.elevation.mean().expand(6))


def test_jitter_is_three_degrees_of_azimuth_and_a_share_of_the_spread_of_the_rest() -> None:
    table = replace(TABLE, offset=torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.0, 0.6]]))
    moved = jittered(table, table, torch.ones(3, 5), share=0.5)
    assert (moved.azimuth - table.azimuth).rad2deg().tolist() == pytest.approx([3.0] * 3, abs=1e-4)
    steps = ((moved.elevation - table.elevation).rad2deg(), (moved.distance / table.distance).log())
    spreads = (np.std([0, 10, 20]), np.std(np.log([4, 4, 5])))
    for step, spread in zip(steps, spreads, strict=True):
        assert step.tolist() == pytest.approx([0.5 * spread] * 3, rel=1e-4)
    shift = torch.tensor([np.std([0, 0.3, 0]), np.std([0, 0, 0.6])]).float()
    torch.testing.assert_close(moved.offset - table.offset, 0.5 * shift.expand(3, 2))


def test_every_scene_under_every_camera() -> None:
    scenes = toy_scenes(2)
    found = under_each(scenes, TABLE)
    assert torch.equal(found.cameras.azimuth, TABLE.azimuth.repeat(2))
    assert torch.equal(found.vertices, scenes.vertices.repeat_interleave(3, dim=0))
