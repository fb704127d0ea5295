import torch

from ganverse.random_streams import _split_mix, latents, normals, uniforms


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


def test_split_mix_is_the_published_one() -> None:
    """First outputs of SplitMix64 for the states 0 and 1234567."""
    outputs = _split_mix(torch.tensor([0, 1234567])).tolist()
    assert [number % 2**64 for number in outputs] == [0xE220A8397B1DCDAF, 0x599ED017FB08FC85]


def test_uniform_numbers_depend_on_seed_and_key_alone() -> None:
    several = uniforms(2**63 - 1, torch.tensor([5, 0, 7]), 4)
    assert torch.equal(several[2:], uniforms(2**63 - 1, torch.tensor([7]), 4))
    assert torch.equal(several[:, :2], uniforms(2**63 - 1, torch.tensor([5, 0, 7]), 2))
    assert several.unique().numel() == 12
    assert not (several == uniforms(3, torch.tensor([5, 0, 7]), 4)).any()
    assert uniforms(0, torch.arange(2).to("meta"), 3).is_meta, "nothing is copied to the host"


def test_uniform_and_normal_numbers_have_their_moments_and_no_correlation() -> None:
    keys = torch.arange(20_000)
    flat, bell = uniforms(1, keys, 4), normals(1, keys, 4)
    assert flat.min() >= 0
    assert flat.max() < 1
    torch.testing.assert_close(flat.mean(dim=0), torch.full((4,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(12 * flat.var(dim=0), torch.ones(4), atol=0.03, rtol=0)
    torch.testing.assert_close(bell.std(dim=0), torch.ones(4), atol=0.02, rtol=0)
    assert bell.isfinite().all()
    neighbors = torch.cat([flat[:-1], flat[1:]], dim=1)
    assert (neighbors.T.corrcoef() - torch.eye(8)).abs().max() < 0.03
