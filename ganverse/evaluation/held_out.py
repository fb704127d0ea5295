"""Held-out objects of a network's training source: one input view; that view and unseen ones are re-rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.batch import MultiViewBatch
from ganverse.data.sampling import SamplingSettings
from ganverse.data.sources import Source
from ganverse.evaluation.metrics import Score, joined, mask_iou, masked_l1, masked_psnr, scores_of
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel
from ganverse.rendering import render


@dataclass(frozen=True)
class HeldOutSamples:
    """Held-out objects 0 .. count - 1; draw: the batch of some of them, input view first."""

    count: int
    draw: Callable[[Int[Tensor, " batch"]], MultiViewBatch]


def held_out_samples(source: Source, seed: int, count: int, views: int) -> HeldOutSamples:
    """New objects of a generator in `views` views at any azimuth, with the paper's filter."""
    sampler = source.sampler(SamplingSettings(seed=seed, views=views))
    return HeldOutSamples(count, lambda indices: sampler.draw(indices).batch)


def held_out_scores(
    samples: HeldOutSamples, model: InverseModel, perceptual: PerceptualDistance, settings: EvaluationSettings
) -> dict[str, Score]:
    """Single-image reconstruction of held-out objects.

    The input is an object's first view, at any view code. The predicted textured mesh is rendered with the learned
    cameras of that view code and of `unseen_views` others, and compared with the source's images and masks (segmenter,
    exact or files). Scores are means over objects:

    iou_*: masks thresholded at one half. l1_*, psnr_*: RGB inside the target's mask. lpips_*: both images black outside
    their masks. *_input: the input view. *_unseen: mean over the object's other views.
    """
    batches, device = [], model.network.start.device
    for indices in torch.arange(samples.count).split(settings.batch):
        batch = samples.draw(indices).to(device)
        found = compare_views(batch, *rerender(model, batch), perceptual)
        views = {"input": lambda values: values[:, 0], "unseen": lambda values: values[:, 1:].mean(dim=1)}
        batches.append({f"{name}_{view}": of(values) for name, values in found.items() for view, of in views.items()})
    scores = scores_of(joined(batches))
    scores["l1_masked"] = scores.pop("l1_input")
    return scores


@torch.no_grad()
def rerender(
    model: InverseModel, batch: MultiViewBatch
) -> tuple[Float[Tensor, "batch views 3 height width"], Float[Tensor, "batch views 1 height width"]]:
    """Reconstructs from view 0, renders all views: RGB, black outside the object, and covered pixels (0 or 1)."""
    count, views = batch.view_ids.shape
    seen = model.network(batch.images[:, 0]).repeat_interleave(views)
    cameras = model.cameras(batch.view_ids.flatten())
    rendered = render(model.network.mesh(seen), seen.texture, cameras, seen.light, batch.images.shape[-1])
    covered = (rendered.face_index >= 0)[:, None].to(rendered.rgb)
    return rendered.rgb.unflatten(0, (count, views)), covered.unflatten(0, (count, views))


@torch.no_grad()
def compare_views(
    batch: MultiViewBatch,
    rgb: Float[Tensor, "batch views 3 height width"],
    covered: Float[Tensor, "batch views 1 height width"],
    perceptual: PerceptualDistance,
) -> dict[str, Float[Tensor, "batch views"]]:
    """All metrics of all views."""
    images, masks, rgb, covered = (x.flatten(0, 1) for x in (batch.images, batch.masks, rgb, covered))
    hard = (masks > 0.5).to(masks)
    values = {
        "iou": mask_iou(covered, masks),
        "l1": masked_l1(rgb, images, hard),
        "psnr": masked_psnr(rgb, images, hard),
        "lpips": perceptual(rgb, images * hard),
    }
    return {name: value.view(batch.view_ids.shape) for name, value in values.items()}
