"""Train the segmenter on rendered (image, mask) pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ganverse.masks.augmentation import augment
from ganverse.masks.segmenter import Segmenter


@dataclass(frozen=True)
class SegmenterTraining:
    """Length and pace of a segmenter's training; AdamW with one cosine from `learning_rate` to zero."""

    steps: int = 1500
    batch: int = 32
    learning_rate: float = 4e-3
    seed: int = 0


def train_segmenter(
    images: UInt8[Tensor, "samples 3 height width"],
    masks: UInt8[Tensor, "samples 1 height width"],
    settings: SegmenterTraining | None = None,
    *,
    report: Callable[[int, float], None] | None = None,
) -> Segmenter:
    """A segmenter trained on 8-bit pairs (masks: 255 is the object), on the CPU, in evaluation mode.

    report: called with the step and its loss every 50 steps.
    """
    settings = settings or SegmenterTraining()
    random = torch.Generator().manual_seed(settings.seed)
    segmenter = Segmenter(working_size=min(images.shape[2:]))
    network = segmenter.network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps, pct_start=0.1)
    for step in range(settings.steps):
        chosen = torch.randint(len(images), (settings.batch,), generator=random)
        pictures, truth = augment(images[chosen].float() / 255, masks[chosen].float() / 255, random)
        logits = network(pictures.contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report is not None and step % 50 == 0:
            report(step, loss.item())
    return segmenter.eval().requires_grad_(False)


def segmentation_loss(
    logits: Float[Tensor, "batch 1 height width"], truth: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, ""]:
    """Cross entropy plus 1 - soft IoU: the first for every pixel, the second for every object alike."""
    return F.binary_cross_entropy_with_logits(logits, truth) + 1 - soft_iou(logits.sigmoid(), truth).mean()


def soft_iou(
    a: Float[Tensor, "batch 1 height width"], b: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Sum of minima over sum of maxima, so identical soft masks have IoU 1."""
    joint, either = torch.minimum(a, b).flatten(1), torch.maximum(a, b).flatten(1)
    return joint.sum(dim=1) / either.sum(dim=1).clamp_min(1e-6)
