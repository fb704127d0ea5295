import math

import pytest
import torch

from ganverse.evaluation.alignment import Alignment, azimuth_errors, from_cameras, refine, turn_about_y
from ganverse.evaluation.surfaces import sample_outer_surface
from ganverse.geometry.cameras import Cameras
from ganverse.worlds.generator import CarWorldGenerator


def test_turning_object_and_camera_together_changes_nothing() -> None:
    points = torch.randn(1, 5, 3)
    camera = Cameras.from_degrees([40.0], [10.0], [4.0])
    alignment = Alignment(yaw=0.7)
    turned = Cameras(camera.azimuth + alignment.yaw, camera.elevation, camera.distance, camera.offset)
    both = torch.cat([points, alignment.points(points)])
    before, after = ((both[i] - one.position[0]) @ one.rotation[0].T for i, one in enumerate((camera, turned)))
    assert torch.allclose(before, after, atol=1e-5)


def test_turn_takes_front_towards_plus_x() -> None:
    front = turn_about_y(math.pi / 2) @ torch.tensor([0.0, 0.0, 1.0])
    assert front.tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_cameras_give_scale_and_turn() -> None:
    learned = Cameras.from_degrees([0.0, 100.0, 350.0], [0.0, 0.0, 0.0], [2.0, 3.0, 4.0])
    true = Cameras.from_degrees([10.0, 110.0, 0.0], [0.0, 0.0, 0.0], [3.0, 4.5, 6.0])
    found = from_cameras(learned, true)
    assert found.scale == pytest.approx(1.5, rel=1e-5)
    assert math.degrees(found.yaw) == pytest.approx(10, abs=1e-3)
    assert azimuth_errors(found, learned, true).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
    assert azimuth_errors(Alignment(), learned, true).tolist() == pytest.approx([10, 10, 10], abs=1e-3)


def test_refinement_finds_one_similarity_for_all_cars() -> None:
    world = CarWorldGenerator(8)
    cars = world.cars(world.styles(world.map(torch.randn(4, world.z_dim))))
    truth = Alignment(0.9, 0.1, (0.02, -0.05, 0.1))
    learned = sample_outer_surface(cars.vertices, cars.faces, 1000)
    true = sample_outer_surface(truth.points(cars.vertices), cars.faces, 1000, seed=1)
    found = refine(Alignment(), learned, true)
    assert found.scale == pytest.approx(truth.scale, abs=0.006)
    assert found.yaw == pytest.approx(truth.yaw, abs=0.004)
    assert found.shift == pytest.approx(truth.shift, abs=0.004)


def test_symmetric_samples_leave_no_turn() -> None:
    world = CarWorldGenerator(8)
    cars = world.cars(world.styles(world.map(torch.randn(2, world.z_dim))))
    learned, true = (
        sample_outer_surface(cars.vertices * scale, cars.faces, 300, seed=seed).with_mirror_images()
        for scale, seed in ((1.0, 0), (0.95, 1))
    )
    found = refine(Alignment(1.0, 0.05), learned, true)
    assert found.yaw == pytest.approx(0, abs=1e-3)
    assert found.shift[0] == pytest.approx(0, abs=1e-3)
    assert "scale 0.9" in str(found)
