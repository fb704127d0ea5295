import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.viewpoints.annotation_noise import AnnotationNoise

AZIMUTHS = torch.linspace(0, 359, 48)


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a - b + 180).remainder(360) - 180).abs()


def test_nothing_is_changed_by_default() -> None:
    assert torch.equal(AnnotationNoise().applied(AZIMUTHS), AZIMUTHS)


@pytest.mark.parametrize("bins", [4, 8, 12])
def test_bins(bins: int) -> None:
    noisy = AnnotationNoise(bins=bins).applied(AZIMUTHS)
    assert len(noisy.unique()) == bins
    assert apart(noisy, AZIMUTHS).max() <= 180 / bins + 1e-3
    assert torch.allclose(noisy.remainder(360 / bins), torch.zeros(48))


def test_jitter_fills_its_range() -> None:
    errors = apart(AnnotationNoise(jitter_degrees=15).applied(AZIMUTHS), AZIMUTHS)
    assert 12 < errors.max() <= 15
    assert 5 < errors.mean() < 10


def test_a_tenth_lies_in_wrong_bins() -> None:
    right = AnnotationNoise(bins=12).applied(AZIMUTHS)
    wrong = AnnotationNoise(bins=12, wrong=0.1).applied(AZIMUTHS)
    errors = apart(right, wrong)
    assert int((errors > 1).sum()) == 5
    assert errors[errors > 1].min() >= 30 - 1e-3
    other = AnnotationNoise(bins=12, wrong=0.1, seed=1).applied(AZIMUTHS)
    assert not torch.equal(wrong, other)
    assert torch.equal(wrong, AnnotationNoise(bins=12, wrong=0.1).applied(AZIMUTHS))


@pytest.mark.parametrize("values", [{"bins": -1}, {"jitter_degrees": -1.0}, {"bins": 12, "wrong": 1.1}, {"wrong": 0.1}])
def test_impossible_faults(values: dict) -> None:
    with pytest.raises(GanverseError, match="expected 0 bins or more"):
        AnnotationNoise(**values)
