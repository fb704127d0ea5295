"""The protocol behind the numbers of `control_metrics`: which scenes are rendered, swapped and compared with what.

Everything is compared at equal cameras, StyleGAN-R against itself, so that a number tells how cleanly one control
moves one thing. How close StyleGAN-R is to the generator it came from is a matter of its own (`faithful_*`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.evaluation.control_metrics import (
    CameraControl,
    Direction,
    camera_control,
    swap_background_ratio,
    swap_shape_iou,
    swap_texture_ratio,
)
from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.controls import azimuth_sweep, render_in_chunks
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes

Images = Float[Tensor, "batch 3 height width"]


@dataclass(frozen=True)
class Instruments:
    """What reads synthesised images: camera (a pose regressor), texture (f, UV images), mask (a segmenter)."""

    camera: Callable[[Images], Direction]
    texture: Callable[[Images], Tensor]
    mask: Callable[[Images], Tensor]


@dataclass(frozen=True)
class ControlReport:
    """Values per image; the medians and means of these are the table of StyleGAN-R.

    camera: asked against measured over full azimuth sweeps. shape_iou: silhouette after a shape swap against that of
    the shape's source. shape_iou_other: against the scene that lent everything else (what doing nothing would score).
    shape_kept_iou: silhouette before and after swapping texture and background. texture_ratio, background_ratio:
    distance to the source / to the other; 0.5 or less shows. faithful_iou, faithful_l1: un-swapped scenes against the
    generator's own images.
    """

    camera: CameraControl
    shape_iou: Float[Tensor, " scenes"]
    shape_iou_other: Float[Tensor, " scenes"]
    shape_kept_iou: Float[Tensor, " scenes"]
    texture_ratio: Float[Tensor, " scenes"]
    background_ratio: Float[Tensor, " scenes"]
    faithful_iou: Float[Tensor, " scenes"]
    faithful_l1: Float[Tensor, " scenes"]

    def summary(self) -> dict[str, float]:
        """One number each: medians for the camera, means for everything else."""
        means = {name: value.mean().item() for name, value in vars(self).items() if isinstance(value, Tensor)}
        camera = self.camera
        return {
            "azimuth_median_degrees": camera.median_azimuth_degrees,
            "azimuth_flipped": camera.flipped,
            "elevation_median_degrees": camera.elevation_degrees.median().item(),
            **means,
        }


@torch.no_grad()
def measure_controls(
    renderer: StyleGANR,
    scenes: Scenes,
    own_images: Float[Tensor, "batch 3 height width"],
    table: Cameras,
    instruments: Instruments,
    *,
    sweep_scenes: int = 16,
    step_degrees: float = 15.0,
) -> ControlReport:
    """Sweep the camera round the first `sweep_scenes` scenes; swap every factor of scene i with that of scene i + 1.

    own_images: what the frozen generator itself shows for the scenes, from the same cameras. table: the cameras of the
    view codes, whose usual elevation and distance the sweep takes (`typical_cameras`).

    Raises:
        GanverseError: fewer than two scenes.
    """
    count = len(scenes)
    if count < 2:
        raise GanverseError(f"swaps expect at least two scenes, got {count}; evaluate more of them")
    azimuths = [step * step_degrees for step in range(round(360 / step_degrees))]
    sweep = azimuth_sweep(scenes[:sweep_scenes], table, azimuths)
    index = torch.arange(1, count + 1, device=scenes.vertices.device) % count

    own = render_in_chunks(renderer, scenes)
    source = render_in_chunks(renderer, scenes.swapped(shape=index, texture=index, background=index))
    shape = render_in_chunks(renderer, scenes.swapped(shape=index))
    texture = render_in_chunks(renderer, scenes.swapped(texture=index))
    background = render_in_chunks(renderer, scenes.swapped(background=index))
    masks = {
        name: instruments.mask(images)
        for name, images in (("own", own), ("source", source), ("shape", shape), ("background", background))
    }
    objects = torch.stack([masks["own"], masks["source"], masks["background"]]).amax(dim=0)
    both = render_in_chunks(renderer, scenes.swapped(texture=index, background=index))
    return ControlReport(
        camera=camera_control(sweep.cameras, render_in_chunks(renderer, sweep), instruments.camera),
        shape_iou=swap_shape_iou(masks["source"], masks["shape"]),
        shape_iou_other=swap_shape_iou(masks["own"], masks["shape"]),
        shape_kept_iou=swap_shape_iou(masks["own"], instruments.mask(both)),
        texture_ratio=swap_texture_ratio(instruments.texture(texture), scenes.texture[index], scenes.texture),
        background_ratio=swap_background_ratio(background, source, own, objects),
        faithful_iou=swap_shape_iou(instruments.mask(own_images), masks["own"]),
        faithful_l1=(own - own_images).abs().mean(dim=(1, 2, 3)),
    )
