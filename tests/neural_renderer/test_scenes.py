import pytest
import torch

from ganverse.generators.framing import Framing
from ganverse.neural_renderer.scenes import background_mask, remove_object
from tests.neural_renderer.toys import toy_scenes


def pictured() -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.zeros(1, 3, 32, 32)
    image[:, 2, :16], image[:, 1, 16:] = 1.0, 1.0
    mask = torch.zeros(1, 1, 32, 32)
    mask[:, :, 12:24, 8:24] = 1
    return torch.where(mask > 0.5, torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1), image), mask


def test_nothing_of_the_object_is_left() -> None:
    image, mask = pictured()
    for fill in (True, False):
        assert remove_object(image, mask, fill=fill)[:, 0].max() < 1e-6


def test_far_pixels_stay_and_the_hole_is_filled_from_around() -> None:
    image, mask = pictured()
    background = remove_object(image, mask)
    assert torch.equal(background[..., :4], image[..., :4])
    assert background.sum(dim=1).min() > 0.9  # no black hole
    assert background[0, 1, 22, 10] > 0.8  # near the lower left border of the hole: ground
    assert remove_object(image, mask, fill=False)[:, :, 14:22, 10:22].max() == 0


def test_fill_hides_the_outline() -> None:
    plain = torch.full((1, 3, 32, 32), 0.5)
    _, mask = pictured()
    assert torch.allclose(remove_object(plain, mask), plain, atol=1e-5)


def test_one_visible_corner_fills_the_rest() -> None:
    plain, mask = torch.full((1, 3, 32, 32), 0.5), torch.ones(1, 1, 32, 32)
    mask[..., :8, :8] = 0
    assert torch.allclose(remove_object(plain, mask), plain, atol=1e-5)


@pytest.mark.parametrize("size", [(17, 30), (1, 8)])
def test_any_size(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    mask = torch.zeros(2, 1, *size)
    assert torch.allclose(remove_object(image, mask), image)
    assert remove_object(image, mask + 1).abs().max() < 1e-6  # nothing visible at all: black


def test_gradients_reach_the_image_only() -> None:
    image, mask = pictured()
    image.requires_grad_(), mask.requires_grad_()
    remove_object(image, mask).sum().backward()
    assert mask.grad is None
    assert image.grad is not None
    assert image.grad[:, :, 16, 16].abs().max() == 0
    assert image.grad[:, :, 16, 4].abs().min() > 0


def test_scenes_are_swapped_joined_and_repeated() -> None:
    scenes, index = toy_scenes(3), torch.tensor([1, 2, 0])
    swapped = scenes.swapped(texture=index)
    assert torch.equal(swapped.texture, scenes.texture[index])
    assert torch.equal(swapped.vertices, scenes.vertices)
    both = scenes.joined(swapped)
    assert len(both) == 6
    assert torch.equal(both[3:].texture, swapped.texture)
    assert torch.equal(both[3:].cameras.azimuth, scenes.cameras.azimuth)
    assert torch.equal(scenes.repeat_interleave(2).vertices, scenes.vertices[torch.tensor([0, 0, 1, 1, 2, 2])])


def test_bars_stay_black_and_fill_no_hole() -> None:
    framing = Framing(24, 32, 32)
    image, mask = framing.apply(torch.ones(1, 3, 24, 32)), torch.zeros(1, 1, 32, 32)
    mask[..., 10:28, 8:24] = 1  # down to the lower bar
    assert torch.allclose(remove_object(image, mask, framing), image)
    assert remove_object(image, mask)[..., 27, 16].max() < 0.9


def test_the_rim_is_as_wide_as_the_segmenter_is_coarse() -> None:
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 100:150, 100:150] = 1
    (row,) = (background_mask(mask)[0, 0] == 0).any(dim=0).nonzero()[[0]].tolist()
    assert row == [100 - 8]
    upright = background_mask(mask[..., 70:180])  # of a picture that is not square the longer side counts
    assert (upright[0, 0] == 0).any(dim=0).nonzero()[0] == 30 - 8
    assert (background_mask(mask[..., ::4, ::4])[0, 0] == 0).any(dim=0).nonzero()[0] == 25 - 2
