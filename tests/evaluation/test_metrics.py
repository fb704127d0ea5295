import math

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.evaluation.metrics import Score, joined, mask_iou, masked_l1, masked_psnr, scores_of


def test_mask_iou_of_half_covered_masks() -> None:
    left, right, middle, empty = torch.zeros(4, 1, 1, 4, 4).unbind()
    left[..., :2], right[..., 2:], middle[..., 1:3] = 1, 1, 1
    assert mask_iou(left, left).item() == 1
    assert mask_iou(left, right).item() == 0
    assert mask_iou(left, middle).item() == pytest.approx(1 / 3)
    assert mask_iou(empty, empty).item() == 0
    assert mask_iou(empty, left).item() == 0


def test_mask_iou_cuts_at_one_half() -> None:
    prediction, target = torch.full((1, 1, 2, 2), 0.6), torch.ones(1, 1, 2, 2)
    assert mask_iou(prediction, target).item() == 1
    assert mask_iou(prediction - 0.2, target).item() == 0


def test_masked_l1_looks_at_nothing_else() -> None:
    prediction, target = torch.rand(2, 3, 3, 4, 4).unbind()
    mask = torch.zeros(3, 1, 4, 4)
    mask[:, :, 1:3, 1:3] = 1
    prediction = torch.where(mask > 0, target + torch.tensor([0.3, 0.0, 0.0])[:, None, None], prediction)
    assert masked_l1(prediction, target, mask).tolist() == pytest.approx([0.1] * 3)
    assert masked_l1(prediction, target, mask * 0).tolist() == [0, 0, 0]


def test_masked_psnr_is_that_of_the_pixels_inside_and_ends_at_60() -> None:
    target, mask = torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    mask[:, :, :2] = 1
    prediction = torch.where(mask > 0, target + 0.1, torch.rand(2, 3, 4, 4))
    assert masked_psnr(prediction, target, mask).tolist() == pytest.approx([20.0] * 2, abs=1e-3)
    assert masked_psnr(target, target, mask).tolist() == pytest.approx([60.0] * 2)


def test_score_is_the_mean_with_an_interval_that_shrinks() -> None:
    few, many = (Score.of(torch.arange(n).float() % 10) for n in (20, 2000))
    assert few.value == many.value == pytest.approx(4.5)
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert few.low < many.low < 4.5 < many.high < few.high
    # A mean of n values with standard deviation 2.87 has a 95 % interval of 2 * 1.96 * 2.87 / sqrt(n).
    assert many.high - many.low == pytest.approx(2 * 1.96 * 2.87 / math.sqrt(2000), rel=0.15)


def test_score_does_not_depend_on_the_order() -> None:
    values = torch.rand(50)
    assert Score.of(values) == Score.of(values.flip(0))
    assert Score.of(torch.tensor([1.0, 2.0, 90.0]), "median").value == 2


def test_the_values_of_one_object_are_drawn_together() -> None:
    """Value and interval of repeated measurements are those of the objects' means, whatever their order."""
    values = torch.rand(12, 5)
    clustered, means = Score.of(values), Score.of(values.mean(dim=1))
    assert clustered.value == pytest.approx(values.mean().item())
    assert clustered.count == 12
    assert (clustered.low, clustered.high) == pytest.approx((means.low, means.high), abs=0.02)
    assert Score.of(values.flip(0)) == clustered
    assert Score.of(values[:, :1]) == Score.of(values[:, 0])
    assert Score.of(torch.tensor([[1.0, 2.0], [3.0, 90.0]]), "median").value == 2.5


def test_a_score_of_nothing_is_refused() -> None:
    with pytest.raises(GanverseError, match="at least one object"):
        Score.of(torch.zeros(0))


def test_a_ratio_is_one_of_means() -> None:
    score = Score.of_ratio(torch.tensor([1.0, 1.0, 0.1]), torch.tensor([4.0, 4.0, 1e-9]))
    assert score.value == pytest.approx(2.1 / 8)
    assert score.low is not None
    assert score.high is not None
    assert score.low <= score.value <= score.high
    assert score.count == 3
    values = torch.rand(30)
    whole, half = Score.of(values.sort().values), Score.of_ratio(values.sort().values, torch.full((30,), 2.0))
    assert (half.value, half.low, half.high) == pytest.approx((whole.value / 2, whole.low / 2, whole.high / 2))
    assert Score.of_ratio(torch.ones(2), torch.full((2,), 2.0)) == Score(0.5, 0.5, 0.5, 2)
    with pytest.raises(GanverseError, match="at least one object"):
        Score.of_ratio(torch.zeros(0), torch.zeros(0))


def test_batches_of_any_size_are_joined() -> None:
    values = torch.rand(10)
    found = joined([{"a": part, "b": 2 * part} for part in values.split(3)])
    assert torch.equal(found["a"], values)
    assert scores_of(found)["b"] == Score.of(2 * values)
