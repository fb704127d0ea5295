import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.generators.framing import LetterboxGenerator, framed
from ganverse.generators.protocol import ImageGenerator
from tests.importing_toys import stylegan1, stylegan2


def test_square_pictures_of_the_right_size_need_no_frame() -> None:
    generator = stylegan2()
    assert framed(generator) is generator
    assert framed(generator, 16) is generator


@pytest.mark.parametrize("crop", [(12, 16), (16, 10), (9, 5)])
def test_what_is_not_square_stands_between_black_bars(crop: tuple[int, int]) -> None:
    generator = stylegan1(crop=crop)
    frame = framed(generator)
    assert isinstance(frame, LetterboxGenerator)
    assert isinstance(frame, ImageGenerator)
    styles = frame.styles(frame.map(torch.randn(2, generator.z_dim)))
    image, seen = frame.synthesize(styles), generator.synthesize(styles)
    assert image.shape == (2, 3, 16, 16)
    top, left = (16 - crop[0]) // 2, (16 - crop[1]) // 2
    assert torch.equal(image[:, :, top : top + crop[0], left : left + crop[1]], seen)
    assert image.sum() == pytest.approx(float(seen.sum()), rel=1e-5)


def test_pictures_are_scaled_down() -> None:
    generator = stylegan2()
    frame = framed(generator, 8)
    styles = frame.styles(frame.map(torch.randn(1, generator.z_dim)))
    assert frame.resolution == 8
    assert frame.synthesize(styles).shape == (1, 3, 8, 8)
    assert frame.synthesize(styles).mean() == pytest.approx(float(generator.synthesize(styles).mean()), abs=0.02)
    with pytest.raises(GanverseError, match="got 32"):
        framed(generator, 32)
