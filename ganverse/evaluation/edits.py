"""Real images in StyleGAN-R: reconstruction quality, and what a rotation preserves.

Compares three ways to an image's codes: as predicted by f ("read"), predicted and refined, and plain latent
optimization in w* (the paper's baseline, `neural_renderer.refinement.project`), which rotates an object by replacing
its view dimensions with those of a view code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.evaluation.control import Studio, l1
from ganverse.evaluation.metrics import Score
from ganverse.generators.framing import unframed
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.neural_renderer.controls import render_in_chunks
from ganverse.neural_renderer.refinement import (
    DEFAULT_DESCENT,
    DescentSettings,
    RefinedScenes,
    project,
    refine,
    render_refined,
)
from ganverse.viewpoints.view_codes import mix_styles, view_styles

WAYS = ("read", "refined", "projected")
TURNS = 4


@dataclass(frozen=True)
class EditedImages:
    """Results of all methods on the same images.

    images: the inputs, framed. reconstructed: by method. rotated: by method, `TURNS` per image, under `cameras`.
    refined: for further edits.
    """

    images: Float[Tensor, "batch 3 size size"]
    reconstructed: dict[str, Float[Tensor, "batch 3 height width"]]
    cameras: Cameras
    rotated: dict[str, Float[Tensor, "rows 3 height width"]]
    refined: RefinedScenes


@torch.no_grad()
def edit_images(
    studio: Studio,
    images: Float[Tensor, "batch 3 size size"],
    masks: Float[Tensor, "batch 1 size size"],
    perceptual: PerceptualDistance | None = None,
    settings: DescentSettings = DEFAULT_DESCENT,
) -> EditedImages:
    """Finds codes with all three methods, and rotates the objects to the cameras of `TURNS` view codes."""
    renderer, generator = studio.renderer, unframed(studio.source.generator)[0]
    images, masks = (renderer.framing.blacken(x) for x in (images, masks))
    scenes = renderer.read(studio.model.network, images, masks)
    refined = refine(renderer, scenes, images, perceptual, settings)
    projected = project(studio.source.generator, renderer.mean, renderer.deviation, images, perceptual, settings)
    codes, table = studio.source.codes, studio.model.cameras.all()
    ids = _all_round(table)
    cameras = table[ids.repeat(len(images))]
    rotated = scenes.repeat_interleave(TURNS).seen_from(cameras)
    kept = RefinedScenes(rotated, refined.correction.repeat_interleave(TURNS, dim=0))
    views = view_styles(generator, codes, device=images.device)[ids].repeat(len(images), 1)
    replaced = mix_styles(projected.repeat_interleave(TURNS, dim=0), views, codes.view_dims)
    return EditedImages(
        images,
        {
            "read": render_in_chunks(renderer, scenes),
            "refined": render_refined(renderer, refined),
            "projected": generator.synthesize(projected),
        },
        cameras,
        {
            "read": render_in_chunks(renderer, rotated),
            "refined": render_refined(renderer, kept),
            "projected": generator.synthesize(replaced),
        },
        refined,
    )


def _all_round(table: Cameras) -> Int[Tensor, " turns"]:
    """Views nearest to `TURNS` equally spaced azimuths."""
    requested = torch.arange(TURNS, device=table.azimuth.device) * (2 * torch.pi / TURNS) + torch.pi / TURNS
    away = angular_difference(requested[:, None].expand(-1, len(table)), table.azimuth.expand(TURNS, -1)).abs()
    return away.argmin(dim=1)


@torch.no_grad()
def edit_scores(edited: EditedImages, studio: Studio, perceptual: PerceptualDistance) -> dict[str, Score]:
    """For each method: l1_*, lpips_* of the reconstructed image. After rotations, turn_error_deg_* (measured against
    requested azimuth) and turn_color_* (L1 between the object's main color and the image's)."""
    scores: dict[str, Score] = {}
    count, framed = len(edited.images), studio.renderer.framing.apply
    color = studio.pose(edited.images).color.repeat_interleave(TURNS, dim=0)
    for way in WAYS:
        image, pose = framed(edited.reconstructed[way]), studio.probes.pose(framed(edited.rotated[way]))
        error = angular_difference(pose.azimuth, edited.cameras.azimuth).abs().rad2deg()
        scores[f"l1_{way}"] = Score.of(l1(image, edited.images))
        scores[f"lpips_{way}"] = Score.of(perceptual(image, edited.images))
        scores[f"turn_error_deg_{way}"] = Score.of(error.view(count, TURNS), "median")
        scores[f"turn_color_{way}"] = Score.of(l1(pose.color, color).view(count, TURNS))
    return scores
