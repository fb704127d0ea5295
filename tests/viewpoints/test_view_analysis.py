import torch

from ganverse.viewpoints.view_analysis import (
    ViewAnalysis,
    content_descriptors,
    content_directions_of,
    pose_reader,
    read_random_samples,
    view_dims_of,
)
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.worlds.generator import CarWorldGenerator


def test_the_view_of_the_car_world_is_found_among_all_its_styles() -> None:
    settings = ViewAnalysis(layers=2, count=3, samples=300)
    world = CarWorldGenerator()
    dims = view_dims_of(world, PoseRegressor.car(), settings)
    assert dims == (0, 1, 2), "sine and cosine of the azimuth, elevation"


def test_samples_are_read_in_order_whatever_the_batch() -> None:
    world, regressor = CarWorldGenerator(), PoseRegressor.car()
    styles, reading = read_random_samples(world, regressor, ViewAnalysis(samples=20, batch=8))
    truth = world.cameras(styles)
    assert (reading.azimuth - truth.azimuth).cos().min() > 0.9
    assert content_descriptors(reading).shape == (20, 1 + 6 + 3)
    assert torch.allclose(content_descriptors(reading)[:, 1:7].sum(dim=1), torch.ones(20))


def test_the_regressor_is_a_reader_for_proposals() -> None:
    read = pose_reader(PoseRegressor.car())(torch.rand(3, 3, 64, 64))
    assert read.azimuth.shape == (3,)
    assert [aspect.shape for aspect in read.aspects] == [(3, 1), (3, 6), (3, 3)]


def test_content_directions_of_the_car_world_avoid_its_view_styles() -> None:
    found = content_directions_of(CarWorldGenerator(), PoseRegressor.car(), ViewAnalysis(layers=2, samples=300), 3)
    share = found.write[:2].square().sum() / found.write.square().sum()
    assert share < 0.1
