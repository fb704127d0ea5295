"""Who does what of DIB-R's work: on the CPU a thread does whole images, on CUDA it does one face or one pixel.

Either schedule runs on either device: the tests compare them on the CPU.
"""

from typing import Literal

import torch

from ganverse.rendering import warp_image_kernels as images
from ganverse.rendering import warp_raster_kernels as raster
from ganverse.rendering import warp_silhouette_kernels as silhouette
from ganverse.rendering.scene import Rim
from ganverse.rendering.warp_buffers import Buffers
from ganverse.rendering.warp_launch import launch, parts, share

Schedule = Literal["cpu", "cuda"]


def draw(work: Buffers, rim: Rim, schedule: Schedule) -> None:
    """Fill index, depth and features where depth is asked for, states and mask where the mask is."""
    for part in _parts(work):
        if schedule == "cpu":
            share(images.draw_images, len(part.corners), part, rim)
        else:
            _draw_by_pixel(part, rim)


def pull(work: Buffers, rim: Rim, schedule: Schedule) -> None:
    """Fill the gradients of corners and of values."""
    for part in _parts(work):
        if schedule == "cpu":
            share(images.pull_images, len(part.corners), part, rim)
        else:
            _pull_by_face(part, rim)


def _parts(work: Buffers) -> list[Buffers]:
    """The work in parts of the batch whose places can be counted; mostly it is one."""
    channels = 0 if work.slopes is None else work.slopes.shape[-1]
    of_faces, of_pixels = (t.shape[1] * t.shape[2] * max(channels, 2) for t in (work.corners, work.face_index))
    slices = parts(len(work.corners), max(of_faces, of_pixels))
    return [work] if len(slices) == 1 else [work.part(each) for each in slices]


def _draw_by_pixel(work: Buffers, rim: Rim) -> None:
    batch, faces = work.corners.shape[:2]
    if work.depth is not None:
        work.face_index.fill_(raster.EMPTY.value)
        launch(raster.draw_faces, batch * faces, work, rim)
        launch(raster.shade_pixels, work.face_index.numel(), work, rim)
    if work.mask is not None:
        tiles = -(-work.face_index.shape[1] // silhouette.TILE) * -(-work.face_index.shape[2] // silhouette.TILE)
        words = -(-faces // 32)
        marked = work._replace(marks=torch.zeros(batch, tiles, words, dtype=torch.int32, device=work.face_index.device))
        launch(silhouette.mark_tiles, batch * faces, marked, rim)
        launch(silhouette.fade_pixels, work.face_index.numel(), marked, rim)


def _pull_by_face(work: Buffers, rim: Rim) -> None:
    rows = work.corners.shape[0] * work.corners.shape[1]
    if work.grad_features is not None:
        launch(raster.pull_faces, rows, work, rim)
    elif work.grad_corners is not None:
        work.grad_corners.zero_()
    if work.grad_mask is not None:
        launch(silhouette.pull_rims, rows, work, rim)
