"""Real pictures through StyleGAN-R: how well they are painted again, and what survives an edit.

Three ways to a picture's codes are compared: as read by f, read and refined, and plain latent optimization in w* (the
baseline of the paper, `neural_renderer.refinement.project`), which turns an object by replacing its view dimensions
with those of a view code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.evaluation.control import Studio
from ganverse.evaluation.metrics import Score
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseModel
from ganverse.neural_renderer.controls import render_in_chunks
from ganverse.neural_renderer.refinement import (
    DEFAULT_DESCENT,
    DescentSettings,
    RefinedScenes,
    project,
    refine,
    render_refined,
)
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes, remove_object
from ganverse.viewpoints.view_codes import mix_styles, view_styles

WAYS = ("read", "refined", "projected")
TURNS = 4


@dataclass(frozen=True)
class Turned:
    """Pictures asked for from other sides. cameras: those asked for, one per picture."""

    cameras: Cameras
    images: Float[Tensor, "rows 3 height width"]


@dataclass(frozen=True)
class EditReport:
    """What every way makes of the same pictures. painted, turned: by way; turned scene by scene, `TURNS` each.

    refined: for further edits.
    """

    pictures: Float[Tensor, "batch 3 height width"]
    painted: dict[str, Float[Tensor, "batch 3 height width"]]
    turned: dict[str, Turned]
    refined: RefinedScenes


@torch.no_grad()
def read_scenes(
    model: InverseModel, pictures: Float[Tensor, "batch 3 height width"], masks: Float[Tensor, "batch 1 height width"]
) -> Scenes:
    """Shape, texture, background and camera, all from the pictures themselves."""
    seen = model.network(pictures)
    return Scenes(seen.camera, seen.vertices, seen.texture, remove_object(pictures, masks))


@torch.no_grad()
def edit_pictures(
    studio: Studio,
    pictures: Float[Tensor, "batch 3 height width"],
    masks: Float[Tensor, "batch 1 height width"],
    perceptual: PerceptualDistance | None = None,
    settings: DescentSettings = DEFAULT_DESCENT,
) -> EditReport:
    """Find codes in all three ways and turn the objects to the cameras of `TURNS` view codes all round."""
    renderer, generator = studio.renderer, studio.source.generator
    scenes = read_scenes(studio.model, pictures, masks)
    refined = refine(renderer, scenes, pictures, perceptual, settings)
    projected = project(generator, renderer.mean, renderer.deviation, pictures, perceptual, settings)
    codes, table = studio.source.codes, studio.model.cameras.all()
    ids = _all_round(table)
    cameras = table[ids.repeat(len(pictures))]
    every = scenes.repeat_interleave(len(ids)).seen_from(cameras)
    kept = RefinedScenes(every, refined.correction.repeat_interleave(len(ids), dim=0))
    views = view_styles(generator, codes, device=pictures.device)[ids].repeat(len(pictures), 1)
    replaced = mix_styles(projected.repeat_interleave(len(ids), dim=0), views, codes.view_dims)
    return EditReport(
        pictures,
        {
            "read": render_in_chunks(renderer, scenes),
            "refined": render_refined(renderer, refined),
            "projected": generator.synthesize(projected),
        },
        {
            "read": Turned(cameras, render_in_chunks(renderer, every)),
            "refined": Turned(cameras, paint_in_chunks(renderer, kept)),
            "projected": Turned(cameras, generator.synthesize(replaced)),
        },
        refined,
    )


@torch.no_grad()
def paint_in_chunks(
    renderer: StyleGANR, refined: RefinedScenes, chunk: int = 32
) -> Float[Tensor, "batch 3 height width"]:
    """`render_refined`, at most `chunk` scenes at a time."""
    parts = [slice(start, start + chunk) for start in range(0, len(refined), chunk)]
    return torch.cat([render_refined(renderer, RefinedScenes(refined.scenes[p], refined.correction[p])) for p in parts])


def _all_round(table: Cameras) -> Tensor:
    """The views nearest to `TURNS` azimuths all round."""
    asked = torch.arange(TURNS, device=table.azimuth.device) * (2 * torch.pi / TURNS) + torch.pi / TURNS
    away = angular_difference(asked[:, None].expand(-1, len(table)), table.azimuth.expand(TURNS, -1)).abs()
    return away.argmin(dim=1)


@torch.no_grad()
def edit_scores(report: EditReport, studio: Studio, perceptual: PerceptualDistance) -> dict[str, Score]:
    """Per way: l1_*, lpips_* of the picture painted again; after turning, turn_error_deg_* (azimuth asked against
    measured) and turn_color_* (L1 of the paint against that of the picture).
    """
    scores: dict[str, Score] = {}
    paint = studio.pose(report.pictures).color.repeat_interleave(TURNS, dim=0)
    for way in WAYS:
        painted, turned = report.painted[way], report.turned[way]
        measured = studio.instruments.camera(turned.images).azimuth
        error = angular_difference(measured, turned.cameras.azimuth).abs().rad2deg()
        color = (studio.pose(turned.images).color - paint).abs().mean(dim=1)
        scores[f"l1_{way}"] = Score.of((painted - report.pictures).abs().mean(dim=(1, 2, 3)))
        scores[f"lpips_{way}"] = Score.of(perceptual(painted, report.pictures))
        scores[f"turn_error_deg_{way}"] = Score.of(error, "median")
        scores[f"turn_color_{way}"] = Score.of(color)
    return scores
