"""Controls of StyleGAN-R for figures and evaluation: azimuth sweeps, cameras between the view codes, swaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes
from ganverse.rendering import render

Factor = Literal["shape", "texture", "background"]


def typical_cameras(table: Cameras, azimuth: Float[Tensor, " batch"]) -> Cameras:
    """Cameras at the given azimuths (radians), framed as the generator usually frames that side.

    Elevation and offset are the table's means. The log distance is a least-squares curve over the azimuth with two
    harmonics, because photographers (and GANs) stand closer to a car's front than to its side. A side view at the
    distance of a front view would be a camera that the generator has never seen.
    """
    curve = _harmonics(table.azimuth)
    # The ridge on all but the constant keeps the curve smooth for few codes.
    ridge = torch.eye(curve.shape[1], dtype=curve.dtype, device=curve.device) * 0.02 * len(table)
    ridge[0, 0] = 0
    # `solve` would wait for a GPU to check for singularity, which the ridge prevents.
    solved = torch.linalg.solve_ex(curve.t() @ curve + ridge, curve.t() @ table.distance.log())[0]
    return Cameras(
        azimuth,
        table.elevation.mean().expand_as(azimuth),
        (_harmonics(azimuth) @ solved).exp(),
        table.offset.mean(dim=0).expand(len(azimuth), -1),
    )


def _harmonics(azimuth: Float[Tensor, " batch"]) -> Float[Tensor, "batch 5"]:
    waves = [torch.ones_like(azimuth), azimuth.sin(), azimuth.cos(), (2 * azimuth).sin(), (2 * azimuth).cos()]
    return torch.stack(waves, dim=1)


def cameras_between(table: Cameras, azimuth: Float[Tensor, " batch"]) -> Cameras:
    """Cameras at the given azimuths (radians), with other parameters interpolated between the neighboring view codes.

    Neighbors are the next azimuths in the table on either side. A table with one code returns that code's parameters.
    """
    order = table.azimuth.remainder(2 * math.pi).argsort()
    sorted_azimuth = table.azimuth.remainder(2 * math.pi)[order]
    wrapped = azimuth.remainder(2 * math.pi)
    after = torch.searchsorted(sorted_azimuth, wrapped) % len(table)
    before = (after - 1) % len(table)
    span = (sorted_azimuth[after] - sorted_azimuth[before]).remainder(2 * math.pi).clamp_min(1e-6)
    t = ((wrapped - sorted_azimuth[before]).remainder(2 * math.pi) / span).clamp(0, 1)
    low, high = table[order[before]], table[order[after]]
    return Cameras(
        azimuth,
        torch.lerp(low.elevation, high.elevation, t),
        torch.lerp(low.distance.log(), high.distance.log(), t).exp(),
        torch.lerp(low.offset, high.offset, t[:, None]),
    )


def random_cameras(table: Cameras, uniform: Float[Tensor, "batch 3"]) -> Cameras:
    """Random cameras around the object; `uniform` in [0, 1].

    The first number sets the azimuth. The second interpolates elevation, distance and offset between the neighboring
    codes' (0) and the typical ones at that azimuth (1). The third changes the elevation only in its upper half, to a
    value between the table's lowest and highest: with few codes each azimuth has one elevation, which does not show the
    effect of elevation.
    """
    azimuth = uniform[:, 0] * 2 * math.pi
    local, usual = cameras_between(table, azimuth), typical_cameras(table, azimuth)
    t, rise = uniform[:, 1], 2 * uniform[:, 2] - 1
    free = torch.lerp(table.elevation.min(), table.elevation.max(), rise)
    return Cameras(
        azimuth,
        torch.where(rise < 0, torch.lerp(local.elevation, usual.elevation, t), free),
        torch.lerp(local.distance.log(), usual.distance.log(), t).exp(),
        torch.lerp(local.offset, usual.offset, t[:, None]),
    )


def jittered(cameras: Cameras, table: Cameras, noise: Float[Tensor, "batch 5"], share: float) -> Cameras:
    """Perturbs cameras by standard normal `noise`: azimuth by 3 degrees, the rest by `share` of its spread in the
    table.

    With few codes g_v could otherwise recognize every code by its exact distance or offset, and would not generalize
    to cameras in between.
    """
    return Cameras(
        cameras.azimuth + noise[:, 0] * math.radians(3.0),
        cameras.elevation + noise[:, 1] * share * table.elevation.std(correction=0),
        (cameras.distance.log() + noise[:, 2] * share * table.distance.log().std(correction=0)).exp(),
        cameras.offset + noise[:, 3:] * share * table.offset.std(dim=0, correction=0),
    )


def under_each(scenes: Scenes, cameras: Cameras) -> Scenes:
    """Every scene under every camera: b * n scenes, grouped by scene."""
    index = torch.arange(len(cameras), device=scenes.vertices.device).repeat(len(scenes))
    return scenes.repeat_interleave(len(cameras)).seen_from(cameras[index])


def azimuth_sweep(scenes: Scenes, table: Cameras, azimuth_degrees: Sequence[float]) -> Scenes:
    """Every scene from every azimuth (`typical_cameras` of the table): b * n scenes, grouped by scene."""
    azimuth = torch.deg2rad(scenes.vertices.new_tensor(list(azimuth_degrees)))
    return under_each(scenes, typical_cameras(table, azimuth))


def ladders(table: Cameras, azimuth_degrees: Sequence[float], steps: int) -> tuple[Cameras, Cameras]:
    """For each azimuth `steps` typical cameras from the table's lowest to its highest elevation, and `steps` of varying
    distance, two standard deviations of the residuals of its distance curve to either side.
    """
    azimuth = torch.deg2rad(table.azimuth.new_tensor(list(azimuth_degrees)))
    cameras = typical_cameras(table, azimuth.repeat_interleave(steps))
    low, high = table.elevation.min().item(), table.elevation.max().item()
    rising = torch.linspace(low, high, steps, device=azimuth.device).repeat(len(azimuth))
    rest = (table.distance / typical_cameras(table, table.azimuth).distance).log().std(correction=0).clamp_min(0.02)
    away = 2 * rest * torch.linspace(-1, 1, steps, device=azimuth.device).repeat(len(azimuth))
    return replace(cameras, elevation=rising), replace(cameras, distance=cameras.distance * away.exp())


def swap_matrix(scenes: Scenes, factor: Factor) -> Scenes:
    """All b * b combinations in row-major order: scene i * b + j is scene i with the `factor` of scene j."""
    count = len(scenes)
    columns = torch.arange(0, count * count, count, device=scenes.vertices.device).repeat(count)
    return scenes.repeat_interleave(count).swapped(**{factor: columns})


@torch.no_grad()
def render_in_chunks(
    renderer: StyleGANR, scenes: Scenes, chunk: int = 32, *, framed: bool = False
) -> Float[Tensor, "batch 3 height width"]:
    """`renderer.render` without gradients, at most `chunk` scenes at a time; framed: apply the networks' framing."""
    parts = (renderer.render(scenes[start : start + chunk]) for start in range(0, len(scenes), chunk))
    return torch.cat([renderer.framing.apply(part) if framed else part for part in parts])


@torch.no_grad()
def render_meshes(renderer: StyleGANR, template: Mesh, scenes: Scenes) -> Float[Tensor, "batch 3 height width"]:
    """The scenes' shapes and textures through DIB-R on white, in the size and aspect ratio of `renderer`'s images."""
    frame = renderer.framing.full
    drawn = render(template.with_vertices(scenes.vertices), scenes.texture, scenes.cameras, size=frame.resolution)
    return frame.crop(drawn.rgb + (drawn.face_index < 0)[:, None])
