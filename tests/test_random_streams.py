import torch

from ganverse.random_streams import latents


def test_code_i_depends_on_seed_and_index_alone() -> None:
    several = latents(3, [5, 0, 7], 4)
    assert torch.equal(several[2:], latents(3, torch.tensor([7]), 4))
    assert torch.equal(several[2:, :2], latents(3, [7], 2)), "more dimensions continue the code"
    assert not torch.equal(several, latents(4, [5, 0, 7], 4))
    assert several.unique().numel() == 12


def test_codes_are_standard_normal() -> None:
    codes = latents(0, range(500), 20)
    assert codes.mean().abs() < 0.03
    assert (codes.std() - 1).abs() < 0.03
    assert (codes.t().corrcoef() - torch.eye(20)).abs().max() < 0.2


def test_no_codes() -> None:
    assert latents(0, [], 4).shape == (0, 4)
