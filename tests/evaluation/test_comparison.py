"""Which objects stand on a comparison sheet, and what it shows."""

import torch

from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.comparison import best_to_worst, world_sheet
from tests.evaluation.tiny_models import tiny_inverse


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
    network = tiny_inverse().network
    figure = world_sheet("oracle-sheet", network, Alignment(), 5, torch.tensor([0.2, 0.9, 0.5]), 2, "cpu")
    assert figure.title == "Oracle: from the best to the worst"
    assert figure.image.width > 10 * 108
    assert 2 * 108 < figure.image.height < 3 * 108
    assert "2 of 3 cars" in figure.caption
