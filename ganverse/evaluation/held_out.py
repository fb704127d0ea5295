"""Held-out objects of the generator a network was trained on: one view in, that view and unseen ones re-rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.data.batch import MultiViewBatch
from ganverse.data.shards import ShardReader
from ganverse.distributed import own_batches
from ganverse.evaluation.metrics import Accumulator, Score, mask_iou, masked_l1, masked_psnr
from ganverse.evaluation.models import Source
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.inverse.losses import chroma_error
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel
from ganverse.rendering.render import render


@dataclass(frozen=True)
class Rerendered:
    """What a network saw in every object's first view, rendered by the camera table's camera of every view.

    rgb: black outside. mask: 0 or 1.
    """

    rgb: Float[Tensor, "batch views 3 height width"]
    mask: Float[Tensor, "batch views 1 height width"]


@torch.no_grad()
def rerender(model: InverseModel, batch: MultiViewBatch) -> Rerendered:
    """Reconstruct from view 0, render all views."""
    count, views = batch.view_ids.shape
    seen = model.network(batch.images[:, 0]).repeat_interleave(views)
    cameras = model.cameras(batch.view_ids.flatten())
    drawn = render(model.network.mesh(seen), seen.texture, cameras, seen.light, batch.images.shape[-1])
    mask = (drawn.face_index >= 0)[:, None].to(drawn.rgb)
    return Rerendered(drawn.rgb.unflatten(0, (count, views)), mask.unflatten(0, (count, views)))


@dataclass(frozen=True)
class HeldOutSamples:
    """Objects 0 .. count - 1 that no training has seen; draw: the batch of some of them."""

    count: int
    draw: Callable[[Int[Tensor, " batch"]], MultiViewBatch]


def held_out_samples(source: Source, settings: EvaluationSettings, views: int) -> HeldOutSamples:
    """New objects of `settings.seed` in `views` views; or, in their own views, those that the shards held back."""
    if source.shards is None:
        sampler = source.sampler(settings.seed, views)
        return HeldOutSamples(settings.held_out_objects, lambda indices: sampler.draw(indices).batch)
    reader, samples = ShardReader(source.shards), source.shards.held_back[: settings.held_out_objects]
    return HeldOutSamples(len(samples), lambda indices: reader.batch([samples[i] for i in indices.tolist()]))


@dataclass(frozen=True)
class HeldOutObjects:
    """Protocol: objects of the generator that no training has seen (`held_out_samples`).

    One view goes in, at any view code; the mesh and texture read from it are rendered by the learned cameras of that
    view code and of `unseen_views` others, and compared with what the generator paints there. Masks are those of the
    source (segmenter, truth or files); the paper's filter applies. Scores are means over objects:

    iou_*: masks cut at one half. l1_*, psnr_*: RGB inside the target's mask. lpips_*: both pictures black outside
    their masks. chroma_*: RGB without its gray part, beside gray_*, that of a gray prediction. *_input: the view that
    went in; *_unseen: mean over the object's other views.
    """

    source: Source
    model: InverseModel
    perceptual: PerceptualDistance
    settings: EvaluationSettings

    def scores(self) -> dict[str, Score]:
        """All of them; every process calls it."""
        settings = self.settings
        samples = held_out_samples(self.source, settings, 1 + settings.unseen_views)
        metrics = ("iou", "l1", "psnr", "lpips", "chroma", "gray")
        found = Accumulator(*(f"{metric}_{view}" for metric in metrics for view in ("input", "unseen")))
        for indices in own_batches(samples.count, settings.batch):
            batch = samples.draw(indices).to(settings.device)
            for name, values in compare_views(batch, rerender(self.model, batch), self.perceptual).items():
                found.add(f"{name}_input", values[:, 0])
                found.add(f"{name}_unseen", values[:, 1:].mean(dim=1))
        scores = found.scores()
        scores["l1_masked"] = scores.pop("l1_input")
        return scores


@torch.no_grad()
def compare_views(
    batch: MultiViewBatch, drawn: Rerendered, perceptual: PerceptualDistance
) -> dict[str, Float[Tensor, "batch views"]]:
    """All metrics of all views; "gray" is the chroma error of a gray prediction."""
    shape = batch.view_ids.shape
    images, masks, rgb, covered = (x.flatten(0, 1) for x in (batch.images, batch.masks, drawn.rgb, drawn.mask))
    hard = (masks > 0.5).to(masks)
    values = {
        "iou": mask_iou(covered, masks),
        "l1": masked_l1(rgb, images, hard),
        "psnr": masked_psnr(rgb, images, hard),
        "lpips": perceptual(rgb, images * hard),
        "chroma": chroma_error(rgb, images, hard),
        "gray": chroma_error(torch.zeros_like(rgb), images, hard),
    }
    return {name: value.view(shape) for name, value in values.items()}
