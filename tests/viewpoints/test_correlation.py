import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.viewpoints.correlation import explained_variance, select_view_dims, view_scores, view_targets


def _world(samples: int = 2000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Styles: 0 azimuth, 1 elevation, 2 azimuth and size alike, 3 size, 4 color, 5 noise, 6 constant."""
    generator = torch.Generator().manual_seed(1)
    azimuth = torch.rand(samples, generator=generator) * 6.283
    elevation = torch.rand(samples, generator=generator) * 0.4
    size, color, noise = torch.randn(3, samples, generator=generator)
    columns = [azimuth.sin(), elevation, azimuth.cos() + 0.8 * size, size, color, noise, torch.ones(samples)]
    styles = torch.stack(columns, dim=1) + 0.05 * torch.randn(samples, 7, generator=generator)
    styles[:, 6] = 1.0
    return styles, azimuth, elevation, torch.stack([size, color], dim=1)


def test_the_dimensions_that_move_with_the_view_are_found() -> None:
    styles, azimuth, elevation, content = _world()
    targets = view_targets(azimuth, elevation)
    assert select_view_dims(styles, targets, content, 2) == (0, 1)
    assert select_view_dims(styles, targets, content, 3) == (0, 1, 2)


def test_content_lowers_the_rank_of_mixed_dimensions() -> None:
    styles, azimuth, elevation, content = _world()
    targets = view_targets(azimuth, elevation)
    plain, weighed = view_scores(styles, targets), view_scores(styles, targets, content)
    assert weighed[2] < plain[2] - 0.1
    assert weighed[0] > plain[0] - 0.05
    assert weighed[3] < -0.4


def test_explained_variance_of_known_mixtures() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4000, generator=generator)
    values = torch.stack([a, a + b, b, torch.full_like(a, 3.0)], dim=1)
    shares = explained_variance(values, torch.stack([a, 2 * a + 7], dim=1))
    assert torch.allclose(shares, torch.tensor([1.0, 0.5, 0.0, 0.0]), atol=0.04)


def test_two_harmonics_see_what_one_does_not() -> None:
    azimuth = torch.linspace(0, 6.283, 500)
    styles = (2 * azimuth).cos()[:, None]
    assert view_scores(styles, view_targets(azimuth))[0] < 0.02
    assert view_scores(styles, view_targets(azimuth, harmonics=2))[0] > 0.99


def test_impossible_requests_are_explained() -> None:
    styles, azimuth, _, content = _world(50)
    with pytest.raises(GanverseError, match="count=9"):
        select_view_dims(styles, view_targets(azimuth), content, 9)
    with pytest.raises(GanverseError, match="samples"):
        select_view_dims(styles[:6], view_targets(azimuth[:6]), content[:6], 2)
