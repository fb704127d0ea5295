"""DIB-R on Warp's kernels, on the CPU and on CUDA, in float32; the same function set as the reference.

Memory kept for the backward pass: 16 bytes a pixel, of which the face index (8) and the mask (4) are results anyway.
"""

from typing import Any, Literal

import torch
import warp as wp
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering.warp_launch import centres, for_parts, launch, start_quietly

start_quietly()

from ganverse.rendering import warp_raster_kernels as raster  # noqa: E402  (importing kernels starts Warp)
from ganverse.rendering import warp_silhouette_kernels as silhouette  # noqa: E402
from ganverse.rendering.warp_nearest import NearestSilhouette  # noqa: E402

# Side of a tile of the CUDA schedule of the silhouette, in pixels.
TILE = 16

Schedule = Literal["cpu", "cuda"]


def why_not(device_type: str) -> str:
    """Why Warp cannot work on this kind of device; empty if it can."""
    if device_type == "cpu" or (device_type == "cuda" and wp.is_cuda_available()):
        return ""
    return "no CUDA driver that Warp can use" if device_type == "cuda" else "Warp has no such device"


def rasterize(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    front_facing: Bool[Tensor, "b f"] | None,
) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Features, face index and depth; see `ganverse.rendering.rasterization.rasterize`."""
    corners, values = face_vertices_image.contiguous(), face_features.contiguous()
    z = face_vertices_z.detach().contiguous()
    drawn = None if front_facing is None else front_facing.contiguous()
    return _Rasterize.apply(corners, z, values, drawn, height, width, _schedule(corners))


def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
    nearest: bool,
) -> Float[Tensor, "b h w"]:
    """Soft mask; see `ganverse.rendering.rasterization.soft_silhouette`."""
    corners = face_vertices_image.contiguous()
    if nearest:
        return NearestSilhouette.apply(corners, face_index.contiguous(), sigmainv, boxlen, knum)
    return _SoftSilhouette.apply(corners, face_index.contiguous(), sigmainv, boxlen, knum, _schedule(corners))


def _schedule(tensor: Tensor) -> Schedule:
    return "cpu" if tensor.device.type == "cpu" else "cuda"


class _Rasterize(torch.autograd.Function):
    """Either schedule runs on either device: the tests compare them on the CPU."""

    @staticmethod
    def forward(
        ctx: Any,
        corners: Float[Tensor, "b f 3 2"],
        z: Float[Tensor, "b f 3"],
        values: Float[Tensor, "b f 3 d"],
        drawn: Bool[Tensor, "b f"] | None,
        height: int,
        width: int,
        schedule: Schedule,
    ) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
        batch, faces, _, channels = values.shape
        device = corners.device
        index = torch.empty(batch, height, width, dtype=torch.int64, device=device)
        depth = corners.new_empty(batch, height, width)
        features = values.new_empty(batch, height, width, channels)
        slopes = values.new_empty(batch, faces, 2, channels)
        size = (faces, channels, height, width, *centres(height, width, device))

        def draw(part: slice) -> None:
            mesh = (corners[part], z[part], values[part], None if drawn is None else drawn[part], slopes[part])
            pixels = (index[part], depth[part], features[part])
            images = len(depth[part])
            if schedule == "cpu":
                launch(raster.draw_images, images, device, *size, *mesh, *pixels)
                return
            index[part].fill_(raster.EMPTY.value)
            launch(raster.draw_faces, images * faces, device, *size, *mesh, index[part])
            shaded = (corners[part], values[part], slopes[part], *pixels)
            launch(raster.shade_pixels, images * height * width, device, *size, *shaded)

        for_parts(draw, batch, max(height * width, 6 * faces) * max(channels, 1), device, raster)
        ctx.save_for_backward(corners, slopes, drawn, index)
        ctx.schedule = schedule
        ctx.mark_non_differentiable(index, depth)
        ctx.set_materialize_grads(False)  # no images of zeros for what has no gradient
        return features, index, depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_features: Float[Tensor, "b h w d"] | None, *_: None) -> tuple[Tensor | None, ...]:
        if grad_features is None:
            return (None,) * 7
        corners, slopes, drawn, index = ctx.saved_tensors
        batch, faces, _, channels = slopes.shape
        height, width = index.shape[1:]
        device = corners.device
        grad_features = grad_features.contiguous()
        grad_corners, grad_values = torch.empty_like(corners), slopes.new_empty(batch, faces, 3, channels)
        size = (faces, channels, height, width, *centres(height, width, device))

        def pull(part: slice) -> None:
            mesh = (corners[part], slopes[part], None if drawn is None else drawn[part])
            gradients = (grad_features[part], grad_corners[part], grad_values[part])
            kernel, each = (raster.pull_images, 1) if ctx.schedule == "cpu" else (raster.pull_faces, faces)
            launch(kernel, len(index[part]) * each, device, *size, *mesh, index[part], *gradients)

        for_parts(pull, batch, max(height * width, 6 * faces) * max(channels, 1), device, raster)
        return grad_corners, None, grad_values, None, None, None, None


class _SoftSilhouette(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        corners: Float[Tensor, "b f 3 2"],
        index: Int64[Tensor, "b h w"],
        sigmainv: float,
        boxlen: float,
        knum: int,
        schedule: Schedule,
    ) -> Float[Tensor, "b h w"]:
        mask, states = _fade(corners, index, sigmainv, boxlen, knum, schedule)
        ctx.save_for_backward(corners, states, mask)
        ctx.sigmainv, ctx.boxlen = sigmainv, boxlen
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Float[Tensor, "b h w"]) -> tuple[Tensor | None, ...]:
        corners, states, mask = ctx.saved_tensors
        batch, height, width = mask.shape
        faces, device = corners.shape[1], corners.device
        grad_mask = grad_mask.contiguous()
        grad_corners = torch.empty_like(corners)
        size = (faces, height, width, ctx.sigmainv, ctx.boxlen, *centres(height, width, device))

        def pull(part: slice) -> None:
            pixels = (states[part], mask[part], grad_mask[part])
            faces_of_part = len(mask[part]) * faces
            launch(silhouette.pull_silhouette, faces_of_part, device, *size, corners[part], *pixels, grad_corners[part])

        for_parts(pull, batch, max(height * width, 6 * faces), device, silhouette)
        return grad_corners, None, None, None, None, None


def _fade(
    corners: Float[Tensor, "b f 3 2"],
    index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
    schedule: Schedule,
) -> tuple[Float[Tensor, "b h w"], Int32[Tensor, "b h w"]]:
    """Soft mask and the pixels' states (see `warp_silhouette_kernels`)."""
    batch, height, width = index.shape
    faces, device = corners.shape[1], corners.device
    mask = corners.new_empty(batch, height, width)
    states = torch.empty(batch, height, width, dtype=torch.int32, device=device)
    middles = centres(height, width, device)
    words, tiles = -(-faces // 32), -(-height // TILE) * -(-width // TILE)

    def fade(part: slice) -> None:
        images, rim = len(mask[part]), (sigmainv, boxlen, knum)
        if schedule == "cpu":
            outputs = (states[part], mask[part])
            inputs = (*rim, *middles, corners[part], index[part])
            launch(silhouette.fade_images, images, device, faces, height, width, *inputs, *outputs)
            return
        marks = torch.zeros(images, tiles, words, dtype=torch.int32, device=device)
        size = (faces, words, TILE, height, width)
        launch(silhouette.mark_tiles, images * faces, device, *size, boxlen, *middles, corners[part], marks)
        pixels = (index[part], marks, states[part], mask[part])
        launch(silhouette.fade_pixels, images * height * width, device, *size, *rim, *middles, corners[part], *pixels)

    for_parts(fade, batch, max(height * width, 6 * faces, tiles * words), device, silhouette)
    return mask, states
