import torch

from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter
from ganverse.masks.training import soft_iou
from ganverse.worlds.generator import CarWorldGenerator, world_samples


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in Segmenter().parameters()) < 500_000
    assert CAR_WEIGHTS.stat().st_size < 1_000_000


def test_any_image_size_gives_masks_of_that_size() -> None:
    segmenter = Segmenter().eval()
    for size in ((64, 64), (100, 75), (32, 48), (128, 128)):
        masks = segmenter(torch.rand(1, 3, *size))
        assert masks.shape == (1, 1, *size)
        assert 0 <= masks.min() <= masks.max() <= 1


def test_an_image_does_not_depend_on_its_neighbors() -> None:
    segmenter = Segmenter().eval()
    images = torch.rand(3, 3, 64, 64)
    assert torch.allclose(segmenter(images)[1:2], segmenter(images[1:2]), atol=1e-5)


def test_the_shipped_car_segmenter_cuts_out_unseen_cars() -> None:
    _, images, masks = world_samples(987, torch.arange(24), CarWorldGenerator())
    overlap = soft_iou(Segmenter.car()(images), masks)
    assert overlap.mean() > 0.95
    assert overlap.min() > 0.85


def test_the_shipped_car_segmenter_copes_with_a_larger_picture() -> None:
    _, images, masks = world_samples(988, torch.arange(4), CarWorldGenerator(160))
    assert soft_iou(Segmenter.car()(images), masks).mean() > 0.93
