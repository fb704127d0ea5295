"""Letterboxing: nothing stretched, bars exactly black, differentiable, and the way back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ganverse.errors import GanverseError
from ganverse.generators import Framing, ImageGenerator, LetterboxGenerator, framed
from tests.importing_toys import stylegan1, stylegan2

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES)
def test_white_images_stand_centered_between_exactly_black_bars(height: int, width: int, resolution: int) -> None:
    framing = Framing(height, width, resolution)
    square = framing.apply(torch.ones(1, 3, height, width))
    assert square.shape == (1, 3, resolution, resolution)
    (top, left), (inner_height, inner_width) = framing.offset, framing.size
    expected = torch.zeros(1, 3, resolution, resolution)
    expected[:, :, top : top + inner_height, left : left + inner_width] = 1
    torch.testing.assert_close(square, expected)
    assert torch.equal(square == 0, expected == 0)
    for before, inner in ((top, inner_height), (left, inner_width)):
        assert 0 <= resolution - inner - 2 * before <= 1
    longest = max(height, width)
    assert framing.scale == min(1.0, resolution / longest)
    assert max(framing.size) == min(longest, resolution)
    assert abs(inner_height - height * framing.scale) <= 0.5 or inner_height == 1


def test_bars_take_nothing_of_bright_images_when_scaled() -> None:
    """Scaled after padding, as before, a row of bars held up to 0.05."""
    images = torch.rand(2, 3, 48, 64)
    square = Framing(48, 64, 20).apply(images)
    padded_first = F.interpolate(F.pad(images, (0, 0, 8, 8)), (20, 20), mode="bilinear", antialias=True)
    bars = torch.ones(20, dtype=torch.bool)
    bars[2:17] = False
    assert square[:, :, bars].abs().max() == 0
    assert padded_first[:, :, bars].max() > 0.02
    torch.testing.assert_close(square[:, :, 4:14].mean(), padded_first[:, :, 4:14].mean(), atol=0.02, rtol=0)


def test_gradients_reach_every_pixel() -> None:
    images = torch.rand(1, 3, 30, 40, requires_grad=True)
    Framing(30, 40, 16).apply(images).sum().backward()
    assert images.grad is not None
    assert images.grad.min() > 0
    # a sum over the square is that over the images, scaled by the area of a pixel
    assert images.grad.sum().item() == pytest.approx(3 * 12 * 16, rel=1e-4)


def test_gradients_are_those_of_finite_differences() -> None:
    images = torch.rand(1, 1, 6, 8, dtype=torch.float64) * 0.8 + 0.1
    framing = Framing(6, 8, 4)
    assert torch.autograd.gradcheck(framing.apply, (images.requires_grad_(),))


def test_half_precision_is_scaled_in_full() -> None:
    images = torch.rand(1, 3, 6, 8).bfloat16()
    assert torch.equal(Framing(6, 8, 4).apply(images), Framing(6, 8, 4).apply(images.float()))


@pytest.mark.parametrize("resolution", [256, 128])
def test_a_mask_comes_back(resolution: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(192.0), torch.arange(256.0), indexing="ij")
    mask = (((rows - 100) / 60) ** 2 + ((columns - 120) / 90) ** 2 < 1).float()[None, None]
    framing = Framing(192, 256, resolution)
    back = framing.invert(framing.apply(mask))
    assert back.shape == mask.shape
    hard = (back > 0.5).float()
    assert (hard * mask).sum() / (hard + mask).clamp(max=1).sum() > 0.99
    if resolution == 256:
        assert torch.equal(back, mask)


def test_the_way_back_keeps_gradients_and_positions() -> None:
    framing = Framing(24, 32, 16)
    square = torch.zeros(1, 1, 16, 16)
    square[0, 0, 8, 3] = 1
    assert torch.equal(framing.crop(square), square[:, :, 2:14])
    back = framing.invert(square.requires_grad_())
    center = (back[0, 0] * torch.arange(24.0)[:, None]).sum() / back.sum()
    assert center.item() == pytest.approx((8 + 0.5 - 2) * 2 - 0.5, abs=1e-4)
    (grad,) = torch.autograd.grad(back.sum(), square)
    assert torch.equal(grad[0, 0] > 0, F.pad(torch.ones(12, 16), (0, 0, 2, 2)) > 0)


def test_wrong_sizes() -> None:
    with pytest.raises(GanverseError, match="expected images of 8 x 6 pixels, got 6 x 8"):
        Framing(6, 8, 4).apply(torch.zeros(1, 3, 8, 6))


def test_square_images_of_the_right_size_need_no_frame() -> None:
    generator = stylegan2()
    assert framed(generator) is generator
    assert framed(generator, 16) is generator
    with pytest.raises(GanverseError, match="got 32"):
        framed(generator, 32)


@pytest.mark.parametrize("crop", [(12, 16), (16, 10), (9, 5)])
def test_a_letterboxed_generator(crop: tuple[int, int]) -> None:
    generator = stylegan1(crop=crop)
    boxed = framed(generator)
    assert isinstance(boxed, LetterboxGenerator)
    assert isinstance(boxed, ImageGenerator)
    assert (generator.image_size, boxed.image_size) == (crop, (16, 16))
    styles = boxed.styles(boxed.map(torch.randn(2, generator.z_dim)))
    image, inside = boxed.synthesize(styles), generator.synthesize(styles)
    top, left = (16 - crop[0]) // 2, (16 - crop[1]) // 2
    assert torch.equal(image[:, :, top : top + crop[0], left : left + crop[1]], inside)
    assert image.sum().item() == pytest.approx(inside.sum().item(), rel=1e-5)
    small = framed(generator, 8)
    assert torch.equal(small.synthesize(styles), Framing(*crop, 8).apply(inside))
