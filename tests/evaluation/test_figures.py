"""What the figures show: rows, columns, captions."""

from dataclasses import replace

import pytest
import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control_figures import control_figures
from ganverse.evaluation.figures import (
    Figure,
    aligned_views,
    best_to_worst,
    clay,
    reconstructions,
    world_sheet,
)
from ganverse.evaluation.held_out import held_out_samples
from ganverse.geometry.cameras import Cameras
from tests.evaluation.tiny_models import tiny_inverse, tiny_studio, tiny_world


def test_aligned_views_are_in_order_of_azimuth_all_round() -> None:
    figure = aligned_views("oracle-views", tiny_world(), 2, seed=0, columns=4)
    assert figure.title == "Oracle: aligned views"
    assert 4 * 90 < figure.image.width < 5 * 96


def test_reconstructions_show_objects_in_rows() -> None:
    batch = held_out_samples(tiny_world(), 0, 2, views=2).draw(torch.arange(2))
    first = replace(batch, **{name: field[:1] for name, field in vars(batch).items() if field is not None})
    two, one = (reconstructions("oracle-reconstructions", tiny_inverse(), part) for part in (batch, first))
    assert two.image.width == one.image.width
    assert two.image.height - one.image.height == 110


def test_clay_is_gray_on_white() -> None:
    picture = clay(tiny_inverse().network.template, Cameras.from_degrees([30.0], [10.0], [3.0]))
    assert torch.allclose(picture[:, 0], picture[:, 1])
    assert picture.max() == 1
    assert 0 < picture.min() < 0.9


def test_the_best_on_top_and_the_worst_three_at_the_bottom() -> None:
    scores = torch.arange(100.0)[torch.randperm(100)]
    chosen = scores[best_to_worst(scores, 12)]
    assert chosen[0] == 99
    assert chosen[-3:].tolist() == [2, 1, 0]
    assert (chosen.diff() < 0).all()
    steps = chosen[:9].diff()
    assert steps.max() - steps.min() <= 1
    assert scores[best_to_worst(scores[:5], 12)].shape == (5,)


def test_world_sheet() -> None:
    figure = world_sheet(
        "oracle-sheet", tiny_inverse().network, Alignment(0.9), 5, torch.tensor([0.2, 0.9, 0.5]), rows=2
    )
    assert figure.title == "Oracle: from the best to the worst"
    assert figure.image.width > 12 * 108
    assert 2 * 108 < figure.image.height < 3 * 108
    assert "2 of 3 cars" in figure.caption
    assert "scale 0.900" in figure.caption


@pytest.fixture(scope="module")
def of_stylegan_r() -> dict[str, Figure]:
    studio = tiny_studio()
    batch = held_out_samples(studio.source, 0, 2, views=1).draw(torch.arange(2))
    return {figure.name: figure for figure in control_figures(studio, batch, azimuths=4)}


def test_stylegan_r_has_one_figure_of_each(of_stylegan_r: dict[str, Figure]) -> None:
    swaps = {f"swap-{part}" for part in ("shape", "texture", "background")}
    others = {"stylegan-r-camera", "stylegan-r-ladders", "stylegan-r-failures"}
    assert set(of_stylegan_r) == swaps | others
    assert of_stylegan_r["stylegan-r-ladders"].image.width > 10 * 90
    assert of_stylegan_r["stylegan-r-camera"].image.height > 4 * 90, "two rows per scene"


def test_failures_are_counted(of_stylegan_r: dict[str, Figure]) -> None:
    figure = of_stylegan_r["stylegan-r-failures"]
    assert figure.image.width > 8 * 90, "2 scenes x 4 azimuths are all there are"
    assert "of 8 images" in figure.caption
    assert "%" in figure.caption
