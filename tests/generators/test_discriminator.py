import pytest
import torch
import torch.nn.functional as F

from ganverse.errors import GanverseError
from ganverse.generators.discriminator import Discriminator, minibatch_deviation


@pytest.fixture
def discriminator() -> Discriminator:
    return Discriminator((8, 6, 4))


@pytest.mark.parametrize("side", [4, 8, 16])
def test_one_logit_per_image(discriminator: Discriminator, side: int) -> None:
    logits = discriminator(torch.randn(4, 3, side, side))
    assert logits.shape == (4,)
    assert logits.std() > 0


def test_other_sizes_are_refused(discriminator: Discriminator) -> None:
    with pytest.raises(GanverseError, match="got 32 px"):
        discriminator(torch.randn(4, 3, 32, 32))


@pytest.mark.parametrize("side", [8, 16])
def test_fade_ends_at_the_lower_and_at_the_higher_resolution(discriminator: Discriminator, side: int) -> None:
    images = torch.randn(4, 3, side, side)
    torch.testing.assert_close(discriminator(images, 0.0), discriminator(F.avg_pool2d(images, 2)))
    assert torch.equal(discriminator(images, 1.0), discriminator(images))
    assert not torch.allclose(discriminator(images, 0.5), discriminator(images), rtol=1e-3)


def test_only_the_levels_below_the_image_learn(discriminator: Discriminator) -> None:
    discriminator(torch.randn(4, 3, 8, 8)).sum().backward()
    learnt = {name for name, parameter in discriminator.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[1] for name in learnt if name.startswith("from_rgb")} == {"1"}
    assert {name.split(".")[1] for name in learnt if name.startswith("blocks")} == {"0"}
    assert any(name.startswith("final") for name in learnt)


def test_minibatch_deviation_is_that_of_each_group() -> None:
    x = torch.randn(8, 3, 4, 4)
    out = minibatch_deviation(x, group=4)
    assert torch.equal(out[:, :3], x)
    for start in (0, 4):
        expected = x[start : start + 4].std(dim=0, correction=0).mean()
        torch.testing.assert_close(out[start : start + 4, 3], expected.expand(4, 4, 4))


def test_minibatch_deviation_of_equal_and_of_odd_batches() -> None:
    assert minibatch_deviation(torch.ones(4, 2, 3, 3))[:, 2].max() < 1e-3
    assert minibatch_deviation(torch.randn(6, 2, 3, 3))[:, 2, 0, 0].unique().numel() == 3
    assert minibatch_deviation(torch.randn(1, 2, 3, 3)).shape == (1, 3, 3, 3)


def test_a_diverse_batch_is_recognized(discriminator: Discriminator) -> None:
    """The same image gets another logit in the company of copies of itself."""
    images = torch.randn(4, 3, 16, 16)
    copies = images[:1].repeat(4, 1, 1, 1)
    assert abs(discriminator(images)[0] - discriminator(copies)[0]) > 1e-3
