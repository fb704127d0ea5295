"""Candidates without a pose regressor: agreement and diversity on toys whose answer is known."""

from __future__ import annotations

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.viewpoints.candidates import (
    CandidateSettings,
    effect_agreement,
    farthest_first,
    pictures_of_views,
    rank_candidates,
    view_effects,
)
from ganverse.viewpoints.view_codes import layer_dims
from tests.pipeline_toys import GAN


def bars(places: list[list[int]]) -> torch.Tensor:
    """places[code][object]: where a bright bar stands in the picture; objects differ in brightness elsewhere."""
    pictures = torch.zeros(len(places), len(places[0]), 3, 16, 16)
    for code, row in enumerate(places):
        for index, place in enumerate(row):
            pictures[code, index] += 0.1 * index
            pictures[code, index, :, :, 2 * place : 2 * place + 2] = 1.0
    return pictures


def test_objects_that_do_the_same_agree() -> None:
    agreement = effect_agreement(view_effects(bars([[0, 0, 0], [3, 3, 3], [5, 5, 5], [1, 4, 7]])))
    assert agreement[:3].min() > 0.9
    assert agreement[3] < 0.5
    assert agreement.abs().max() <= 1 + 1e-5


def test_codes_that_disagree_are_left_out_and_copies_come_last() -> None:
    pictures = bars([[0, 0], [0, 0], [0, 0], [3, 3], [6, 6], [1, 7]])
    ranked = rank_candidates([10, 11, 12, 13, 14, 15], pictures, CandidateSettings(agreeing=5 / 6))
    assert 15 not in ranked.seeds
    assert {13, 14} <= set(ranked.seeds[:3])
    assert len(ranked.agreement) == len(ranked.seeds) == 5


def test_farthest_first() -> None:
    angle = torch.tensor([0.0, 0.1, 3.1, 1.6])
    order = farthest_first(torch.stack([angle.cos(), angle.sin()], dim=1))
    assert order.tolist() == [0, 2, 3, 1]


def test_pictures_are_the_same_however_they_are_asked_for() -> None:
    generator = StyleGAN2Generator(GAN).eval()
    dims = layer_dims(generator.style_sizes, 2)
    settings = CandidateSettings(pool=4, objects=2, batch=3)
    pictures = pictures_of_views(generator, dims, [0, 1, 2, 3], settings)
    assert pictures.shape == (4, 2, 3, GAN.resolution, GAN.resolution)
    assert torch.allclose(pictures_of_views(generator, dims, [2], settings)[0], pictures[2], atol=1e-5)


def test_settings() -> None:
    with pytest.raises(GanverseError, match="agreeing"):
        CandidateSettings(agreeing=0)
