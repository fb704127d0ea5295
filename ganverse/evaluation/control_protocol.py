"""The protocol behind the numbers of `control_metrics`: which scenes are rendered, swapped and compared with what.

Swaps happen at equal cameras. Silhouettes are compared with StyleGAN-R's own picture of the shape's source, since S
itself is only as good as f; textures and backgrounds with the inputs that were asked for. How close StyleGAN-R is to
the generator it came from is a matter of its own (`faithful_*`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.evaluation.control_metrics import (
    CameraControl,
    Direction,
    Response,
    SwapDistances,
    camera_control,
    swap_background_distances,
    swap_paint_distances,
    swap_shape_iou,
    swap_texture_distances,
)
from ganverse.evaluation.gan_identity import explained_shares
from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.controls import azimuth_sweep, distance_row, elevation_row, render_in_chunks, under_each
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes, background_mask

Images = Float[Tensor, "batch 3 height width"]
LADDER_AZIMUTHS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
LADDER_STEPS = 5


@dataclass(frozen=True)
class Instruments:
    """What reads synthesized images: camera (a pose regressor), texture (f, UV images), mask (a segmenter).

    paint: main color of the object, by something else than f. traits: what makes an object that object (paint, height
    ...), [batch, numbers] by name.
    """

    camera: Callable[[Images], Direction]
    texture: Callable[[Images], Tensor]
    mask: Callable[[Images], Tensor]
    paint: Callable[[Images], Tensor]
    traits: Callable[[Images], dict[str, Tensor]]


@dataclass(frozen=True)
class Factors:
    """What a set of pictures shows: silhouettes, UV textures, and the pictures themselves for their backgrounds."""

    images: Float[Tensor, "batch 3 height width"]
    masks: Float[Tensor, "batch 1 height width"]
    textures: Float[Tensor, "batch 3 tex tex"]

    def moved(self, before: Factors) -> dict[str, Float[Tensor, " batch"]]:
        """How far silhouette (1 - IoU), texture (L1 on the chart), background (L1 outside both objects) are apart."""
        outside = background_mask(torch.maximum(self.masks, before.masks))
        behind = swap_background_distances(self.images, before.images, before.images, outside)
        return {
            "silhouette": 1 - swap_shape_iou(self.masks, before.masks),
            "texture": (self.textures - before.textures).abs().mean(dim=(1, 2, 3)),
            "background": behind.to_source,
        }


@dataclass(frozen=True)
class ControlReport:
    """Values per image; the medians and means of these are the table of StyleGAN-R.

    camera: asked against measured over full azimuth sweeps. elevation, scale: of a ladder of elevations (radians), of
    logarithmic sizes, with what the pictures show. identity: share of a trait's variance over objects and
    azimuths that the object explains.
    shape_iou: silhouette after a shape swap against that of the shape's source. shape_iou_other: against the scene that
    lent everything else (what doing nothing would score). shape: the same two as distances 1 - IoU, without which a
    renderer that draws one shape for all would pass. shape_kept_iou: silhouette before and after swapping texture and
    background. texture: against the textures asked for. paint: main color, against that of the generator's own images
    of the two scenes. background: against the backgrounds asked for; background_own: against StyleGAN-R's own pictures
    of the two scenes.
    effects: how far each swap moves each thing, by (swap, thing); "everything" swaps all but the camera.
    faithful_iou, faithful_l1: un-swapped scenes against the generator's own images.
    """

    camera: CameraControl
    elevation: Response
    scale: Response
    identity: dict[str, float]
    shape_iou: Float[Tensor, " scenes"]
    shape_iou_other: Float[Tensor, " scenes"]
    shape: SwapDistances
    shape_kept_iou: Float[Tensor, " scenes"]
    texture: SwapDistances
    paint: SwapDistances
    background: SwapDistances
    background_own: SwapDistances
    effects: dict[tuple[str, str], Float[Tensor, " scenes"]]
    faithful_iou: Float[Tensor, " scenes"]
    faithful_l1: Float[Tensor, " scenes"]


@torch.no_grad()
def measure_controls(
    renderer: StyleGANR,
    scenes: Scenes,
    visible: Float[Tensor, "batch 1 height width"],
    own_images: Float[Tensor, "batch 3 height width"],
    table: Cameras,
    instruments: Instruments,
    *,
    sweep_scenes: int = 16,
    step_degrees: float = 15.0,
) -> ControlReport:
    """Sweep the camera round the first `sweep_scenes` scenes; swap every factor of scene i with that of scene i + 1.

    visible: 1 where the scenes' backgrounds are known (`background_mask`). own_images: what the frozen generator itself
    shows for the scenes, from the same cameras. table: the cameras of the view codes, whose usual elevation and
    distance the sweep takes (`typical_cameras`).

    Raises:
        GanverseError: fewer than two scenes.
    """
    count = len(scenes)
    if count < 2:
        raise GanverseError(f"swaps expect at least two scenes, got {count}; evaluate more of them")
    index = torch.arange(1, count + 1, device=scenes.vertices.device) % count
    shown = {name: read_factors(renderer, swap, instruments) for name, swap in swaps(scenes, index).items()}
    own, source = shown["own"], shown["everything"]
    known = visible * visible[index] * background_mask(shown["background"].masks)
    all_outside = background_mask(torch.stack([x.masks for x in (own, source, shown["background"])]).amax(dim=0))
    shape_iou, other_iou = (swap_shape_iou(x.masks, shown["shape"].masks) for x in (source, own))
    camera, identity = _rotate(renderer, scenes[:sweep_scenes], table, instruments, step_degrees)
    behind = shown["background"].images
    return ControlReport(
        camera=camera,
        elevation=_elevation_response(renderer, scenes[:sweep_scenes], table, instruments),
        scale=_scale_response(renderer, scenes[:sweep_scenes], table, instruments),
        identity=identity,
        shape_iou=shape_iou,
        shape_iou_other=other_iou,
        shape=SwapDistances(1 - shape_iou, 1 - other_iou),
        shape_kept_iou=swap_shape_iou(own.masks, shown["surface"].masks),
        texture=swap_texture_distances(shown["texture"].textures, scenes.texture[index], scenes.texture),
        paint=paint_moved(shown["texture"].images, own_images, index, instruments),
        background=swap_background_distances(behind, scenes.background[index], scenes.background, known),
        background_own=swap_background_distances(behind, source.images, own.images, all_outside),
        effects={
            (swap, thing): moved
            for swap in ("shape", "texture", "background", "camera", "everything")
            for thing, moved in shown[swap].moved(own).items()
        },
        faithful_iou=swap_shape_iou(instruments.mask(own_images), own.masks),
        faithful_l1=(own.images - own_images).abs().mean(dim=(1, 2, 3)),
    )


def swaps(scenes: Scenes, index: Int[Tensor, " batch"]) -> dict[str, Scenes]:
    """Scenes that take one thing or several from the scenes `index`, by what they take; "own" takes nothing."""
    return {
        "own": scenes,
        "shape": scenes.swapped(shape=index),
        "texture": scenes.swapped(texture=index),
        "background": scenes.swapped(background=index),
        "surface": scenes.swapped(texture=index, background=index),
        "everything": scenes.swapped(shape=index, texture=index, background=index),
        "camera": scenes.seen_from(scenes.cameras[index]),
    }


def paint_moved(
    images: Images, own_images: Images, index: Int[Tensor, " batch"], instruments: Instruments
) -> SwapDistances:
    """The paint of images in which scene i was given that of scene index[i]; own_images: of the scenes as they were."""
    own = instruments.paint(own_images)
    return swap_paint_distances(instruments.paint(images), own[index], own)


def read_factors(renderer: StyleGANR, scenes: Scenes, instruments: Instruments) -> Factors:
    """Render the scenes and read the pictures."""
    images = render_in_chunks(renderer, scenes)
    return Factors(images, instruments.mask(images), instruments.texture(images))


def _rotate(
    renderer: StyleGANR, scenes: Scenes, table: Cameras, instruments: Instruments, step_degrees: float
) -> tuple[CameraControl, dict[str, float]]:
    """Camera errors and identity over a full rotation."""
    azimuths = [step * step_degrees for step in range(round(360 / step_degrees))]
    sweep = azimuth_sweep(scenes, table, azimuths)
    images = render_in_chunks(renderer, sweep)
    traits = instruments.traits(images)
    shape = (len(scenes), len(azimuths))
    identity = {name: explained_shares(values.unflatten(0, shape))[0] for name, values in traits.items()}
    return camera_control(sweep.cameras, images, instruments.camera), identity


def _elevation_response(renderer: StyleGANR, scenes: Scenes, table: Cameras, instruments: Instruments) -> Response:
    ladder = under_each(scenes, elevation_row(table, LADDER_AZIMUTHS, LADDER_STEPS))
    measured = instruments.camera(render_in_chunks(renderer, ladder)).elevation
    return Response.of(*(x.view(-1, LADDER_STEPS) for x in (ladder.cameras.elevation, measured)))


def _scale_response(renderer: StyleGANR, scenes: Scenes, table: Cameras, instruments: Instruments) -> Response:
    ladder = under_each(scenes, distance_row(table, LADDER_AZIMUTHS, LADDER_STEPS))
    area = instruments.mask(render_in_chunks(renderer, ladder)).mean(dim=(1, 2, 3))
    asked, size = -ladder.cameras.distance.log(), area.clamp_min(1e-6).log() / 2
    return Response.of(*(x.view(-1, LADDER_STEPS) for x in (asked, size)))
