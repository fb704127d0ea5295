"""Who does what of DIB-R's work: on the CPU a thread does whole images, on CUDA it does one face or one pixel.

Either schedule runs on either device: the tests compare them on the CPU.
"""

from typing import Any, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from ganverse.rendering import warp_image_kernels as images
from ganverse.rendering import warp_raster_kernels as raster
from ganverse.rendering import warp_silhouette_kernels as silhouette
from ganverse.rendering.warp_launch import centres, launch, parts, share

Schedule = Literal["cpu", "cuda"]

# Side of a tile of the CUDA schedule of the silhouette, in pixels.
TILE = 16


class Rim(NamedTuple):
    """Settings of the silhouette."""

    sigmainv: float
    boxlen: float
    knum: int


class Drawing(NamedTuple):
    """What a forward pass reads and writes; without depth the index is given, without mask there is no rim."""

    corners: Float[Tensor, "b f 3 2"]
    z: Float[Tensor, "b f 3"] | None
    values: Float[Tensor, "b f 3 d"] | None
    drawn: Bool[Tensor, "b f"] | None
    slopes: Float[Tensor, "b f 2 d"] | None
    face_index: Int64[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"] | None
    features: Float[Tensor, "b h w d"] | None
    states: Int32[Tensor, "b h w"] | None
    mask: Float[Tensor, "b h w"] | None


class Pulling(NamedTuple):
    """What a backward pass reads and writes; tensors of what has no gradient are absent."""

    corners: Float[Tensor, "b f 3 2"]
    drawn: Bool[Tensor, "b f"] | None
    slopes: Float[Tensor, "b f 2 d"] | None
    face_index: Int64[Tensor, "b h w"] | None
    states: Int32[Tensor, "b h w"] | None
    mask: Float[Tensor, "b h w"] | None
    grad_features: Float[Tensor, "b h w d"] | None
    grad_mask: Float[Tensor, "b h w"] | None
    grad_corners: Float[Tensor, "b f 3 2"]
    grad_values: Float[Tensor, "b f 3 d"] | None


Work = TypeVar("Work", Drawing, Pulling)


def draw(work: Drawing, rim: Rim | None, schedule: Schedule) -> None:
    """Fill index, depth and features, and states and mask if there is a rim."""
    step = _draw_by_image if schedule == "cpu" else _draw_by_pixel
    for part in _parts(work):
        step(part, rim or _NO_RIM)


def pull(work: Pulling, rim: Rim | None, schedule: Schedule) -> None:
    """Fill the gradients of corners and of values."""
    step = _pull_by_image if schedule == "cpu" else _pull_by_face
    for part in _parts(work):
        step(part, rim or _NO_RIM)


_NO_RIM = Rim(0.0, 0.0, 0)


def _parts(work: Work) -> list[Work]:
    """The work in parts of the batch whose places can be counted; mostly it is one."""
    batch = len(work.corners)
    most = max(t.numel() for t in work if t is not None)
    slices = parts(batch, most // max(batch, 1))
    if len(slices) == 1:
        return [work]
    again: Any = type(work)
    return [again(*(None if t is None else t[part] for t in work)) for part in slices]


def _sizes(work: Drawing | Pulling) -> tuple[int, int, int, int]:
    """Faces, channels, height, width."""
    channels = 0 if work.slopes is None else work.slopes.shape[-1]
    height, width = next(t.shape[1:] for t in (work.face_index, work.mask) if t is not None)
    return work.corners.shape[1], channels, height, width


def _draw_by_image(work: Drawing, rim: Rim) -> None:
    faces, channels, height, width = _sizes(work)
    device = work.corners.device
    middles = centres(height, width, device)
    share(images.draw_images, len(work.corners), device, faces, channels, height, width, *rim, *middles, *work)


def _pull_by_image(work: Pulling, rim: Rim) -> None:
    faces, channels, height, width = _sizes(work)
    device = work.corners.device
    size = (faces, channels, height, width, rim.sigmainv, rim.boxlen, *centres(height, width, device))
    share(images.pull_images, len(work.corners), device, *size, *work)


def _draw_by_pixel(work: Drawing, rim: Rim) -> None:
    faces, channels, height, width = _sizes(work)
    device = work.corners.device
    middles, batch = centres(height, width, device), len(work.corners)
    if work.depth is not None:
        size, mesh = (faces, channels, height, width, *middles), work[:5]
        work.face_index.fill_(raster.EMPTY.value)
        launch(raster.draw_faces, batch * faces, device, *size, *mesh, work.face_index)
        shaded = (work.corners, work.values, work.slopes, work.face_index, work.depth, work.features)
        launch(raster.shade_pixels, work.face_index.numel(), device, *size, *shaded)
    if work.mask is not None:
        words, tiles = -(-faces // 32), -(-height // TILE) * -(-width // TILE)
        marks = torch.zeros(batch, tiles, words, dtype=torch.int32, device=device)
        tiled = (faces, words, TILE, height, width)
        launch(silhouette.mark_tiles, batch * faces, device, *tiled, rim.boxlen, *middles, work.corners, marks)
        pixels = (work.face_index, marks, work.states, work.mask)
        launch(silhouette.fade_pixels, work.face_index.numel(), device, *tiled, *rim, *middles, work.corners, *pixels)


def _pull_by_face(work: Pulling, rim: Rim) -> None:
    faces, channels, height, width = _sizes(work)
    device = work.corners.device
    middles, rows = centres(height, width, device), len(work.corners) * faces
    work.grad_corners.zero_()
    if work.grad_features is not None:
        pulled = (work.corners, work.slopes, work.drawn, work.face_index, work.grad_features)
        results = (work.grad_corners, work.grad_values)
        launch(raster.pull_faces, rows, device, faces, channels, height, width, *middles, *pulled, *results)
    if work.grad_mask is not None:
        pulled_rim = (work.corners, work.states, work.mask, work.grad_mask, work.grad_corners)
        size = (faces, height, width, rim.sigmainv, rim.boxlen)
        launch(silhouette.pull_rims, rows, device, *size, *middles, *pulled_rim)
