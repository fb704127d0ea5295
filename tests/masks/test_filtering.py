import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.masks.filtering import FilterCounts, MaskFilter, filter_masks
from ganverse.masks.masker import Masks


def _masks() -> Masks:
    """A good one, none, two objects, a small one, one cut off by the border."""
    foreground = torch.zeros(5, 1, 20, 20)
    foreground[0, 0, 5:15, 5:15] = 1
    foreground[2, 0, 5:15, 5:15] = 1
    foreground[3, 0, 5:8, 5:15] = 1
    foreground[4, 0, 5:15, :10] = 1
    return Masks(foreground, torch.tensor([1, 0, 2, 1, 1]))


def test_the_papers_filter_names_a_reason_for_every_reject() -> None:
    outcome = filter_masks(_masks())
    assert outcome.keep.tolist() == [True, False, False, False, True]
    assert outcome.counts == FilterCounts(kept=2, no_object=1, several_objects=1, too_small=1)
    assert outcome.area[3].item() == pytest.approx(0.075)


def test_the_ten_per_cent_are_a_setting() -> None:
    assert filter_masks(_masks(), MaskFilter(min_area=0.05)).keep[3]
    assert filter_masks(_masks(), MaskFilter(min_area=0.25)).keep[0], "covers that share exactly"
    with pytest.raises(GanverseError, match="min_area to be from 0 to 1"):
        MaskFilter(min_area=10.0)


def test_counts_add_up() -> None:
    total = filter_masks(_masks()).counts + filter_masks(_masks()).counts
    assert total.images == 10
    assert total.dropped_share == pytest.approx(0.6)
    assert FilterCounts().dropped_share == 1.0
