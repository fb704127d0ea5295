"""The small U-Net: its masks, its training and the augmentation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.io import to_bytes
from ganverse.masks.masker import Masker, soft_iou
from ganverse.masks.segmenter import CAR_WEIGHTS, Segmenter, SegmenterTraining, segmentation_loss, train_segmenter
from ganverse.worlds.generator import CarWorldGenerator, world_samples


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in Segmenter().parameters()) < 500_000
    assert CAR_WEIGHTS.stat().st_size < 1_000_000


def test_any_image_size_gives_masks_of_that_size() -> None:
    segmenter = Segmenter().eval()
    for size in ((64, 64), (100, 75), (32, 48), (128, 128)):
        masks = segmenter.probability(torch.rand(1, 3, *size))
        assert masks.shape == (1, 1, *size)
        assert 0 <= masks.min() <= masks.max() <= 1


def test_images_in_half_precision() -> None:
    images = torch.rand(1, 3, 128, 96).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert Segmenter().probability(images).shape == (1, 1, 128, 96)


def test_an_image_does_not_depend_on_its_neighbors() -> None:
    segmenter = Segmenter().eval()
    images = torch.rand(3, 3, 64, 64)
    assert torch.allclose(segmenter.probability(images)[1:2], segmenter.probability(images[1:2]), atol=1e-5)


def test_the_shipped_car_segmenter_cuts_out_unseen_cars() -> None:
    _, images, masks = world_samples(987, torch.arange(24), CarWorldGenerator())
    overlap = soft_iou(Segmenter.from_pretrained().probability(images), masks)
    assert overlap.mean() > 0.95
    assert overlap.min() > 0.85


def test_the_shipped_car_segmenter_copes_with_a_larger_picture() -> None:
    _, images, masks = world_samples(988, torch.arange(4), CarWorldGenerator(160))
    assert soft_iou(Segmenter.from_pretrained().probability(images), masks).mean() > 0.93


def test_a_segmenter_is_a_masker() -> None:
    segmenter = Segmenter().eval()
    assert isinstance(segmenter, Masker)
    masks = segmenter(torch.rand(2, 3, 64, 64))
    assert masks.foreground.shape == (2, 1, 64, 64)
    assert not masks.foreground.requires_grad


def test_its_name_tells_weights_apart(tmp_path: Path) -> None:
    assert Segmenter.from_pretrained().name == Segmenter.from_pretrained(CAR_WEIGHTS).name
    assert len(Segmenter.from_pretrained("car").name.split()[1]) == 12
    with pytest.raises(GanverseError, match="expected a card"):
        Segmenter.from_pretrained(tmp_path / "none.safetensors")


def _discs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright discs on dark ground."""
    grid = torch.linspace(-1, 1, 32)
    center = torch.rand(count, 2, 1, 1) * 0.6 - 0.3
    masks = ((grid[:, None] - center[:, 0]) ** 2 + (grid - center[:, 1]) ** 2 < 0.25).float()[:, None]
    return masks * 0.6 + 0.2 + 0.05 * torch.rand(count, 3, 32, 32), masks


def test_training_learns_to_cut_out_discs() -> None:
    images, masks = _discs(64)
    losses = []
    settings = SegmenterTraining(steps=60, batch=16, learning_rate=1e-2)
    segmenter = train_segmenter(
        to_bytes(images), to_bytes(masks), settings, report=lambda step, loss: losses.append((step, loss))
    )
    assert [step for step, _ in losses] == [0, 50]
    assert losses[1][1] < 0.6 * losses[0][1]
    fresh_images, fresh_masks = _discs(8)
    assert soft_iou(segmenter.probability(fresh_images), fresh_masks).mean() > 0.8


@pytest.mark.parametrize("steps", [1, 2, 10, 11])
def test_short_trainings(steps: int) -> None:
    images, masks = _discs(4)
    segmenter = train_segmenter(to_bytes(images), to_bytes(masks), SegmenterTraining(steps=steps, batch=2))
    assert segmenter.probability(images).isfinite().all()


def test_the_loss_prefers_the_truth() -> None:
    truth = (torch.rand(2, 1, 8, 8) > 0.5).float()
    assert segmentation_loss(20 * (truth - 0.5), truth) < 0.01
    assert segmentation_loss(torch.zeros_like(truth), truth) > 0.5
