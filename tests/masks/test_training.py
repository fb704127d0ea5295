import pytest
import torch

from ganverse.io import to_bytes
from ganverse.masks.training import SegmenterTraining, segmentation_loss, soft_iou, train_segmenter


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
    assert soft_iou(segmenter(fresh_images), fresh_masks).mean() > 0.8


def test_soft_iou_of_known_masks() -> None:
    a, b = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    a[:, 0, :2], b[:, 0, 1:3] = 1, 1
    b[1] = 0.5 * a[1]
    assert soft_iou(a, b).tolist() == pytest.approx([1 / 3, 0.5])


def test_the_loss_prefers_the_truth() -> None:
    truth = (torch.rand(2, 1, 8, 8) > 0.5).float()
    assert segmentation_loss(20 * (truth - 0.5), truth) < 0.01
    assert segmentation_loss(torch.zeros_like(truth), truth) > 0.5
