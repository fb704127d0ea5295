import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.figures import aligned_views, clay, reconstructions, world_reconstructions
from ganverse.evaluation.world_truth import world_batch
from ganverse.geometry.cameras import Cameras
from ganverse.worlds.generator import CarWorldGenerator
from tests.evaluation.tiny_models import tiny_inverse, tiny_world


def test_aligned_views_are_in_order_of_azimuth_all_round() -> None:
    figure = aligned_views("oracle-views", tiny_world(), 2, seed=0, columns=4)
    assert figure.title.startswith("Oracle")
    assert figure.image.width > 4 * 90
    assert figure.image.width < 5 * 96


def test_reconstructions_show_objects_in_rows() -> None:
    batch = tiny_world().sampler(0, 2).draw(torch.arange(2)).batch
    two = reconstructions("oracle-reconstructions", tiny_inverse(), batch)
    one = reconstructions(
        "oracle-reconstructions", tiny_inverse(), batch.__class__(*(f[:1] for f in vars(batch).values()))
    )
    assert two.image.width == one.image.width
    assert two.image.height - one.image.height == 110


def test_truth_is_shown_beside_the_shape() -> None:
    world = CarWorldGenerator(32)
    batch = world_batch(world, 0, torch.arange(1))
    figure = world_reconstructions("world-truth", tiny_inverse().network, Alignment(0.9), batch)
    assert "scale 0.900" in figure.caption
    assert figure.image.getextrema()[0] == (0, 255) or figure.image.getextrema()[0][0] < 60


def test_clay_is_gray_on_white() -> None:
    model = tiny_inverse()
    picture = clay(model.network.template, Cameras.from_degrees([30.0], [10.0], [3.0]), 32)
    assert torch.allclose(picture[:, 0], picture[:, 1])
    assert picture.max() == 1
    assert 0 < picture.min() < 0.9
