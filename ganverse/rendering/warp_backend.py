"""DIB-R with Warp kernels on CPU and CUDA, in float32; the same functions as the reference.

Importing this module starts Warp; `backends.implementation` imports it at first use. Memory for the backward pass: 16
bytes per pixel, of which face index (8) and mask (4) are results anyway.
"""

from typing import Any, Literal

import torch
import warp as wp
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering import warp_kernels_image as image
from ganverse.rendering import warp_kernels_raster as raster
from ganverse.rendering import warp_kernels_silhouette as silhouette
from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles, check_finite
from ganverse.rendering.warp_launch import Buffers, launch, share

Schedule = Literal["cpu", "cuda"]
"""Parallelization: on the CPU a thread processes whole images, on CUDA one face or one pixel. Both schedules run on
both devices, and the tests compare them on the CPU."""


def why_not(device_type: str) -> str:
    """Why Warp does not support this kind of device; empty if it does."""
    if device_type == "cpu" or (device_type == "cuda" and wp.is_cuda_available()):
        return ""
    return "no CUDA driver that Warp can use" if device_type == "cuda" else "Warp has no such device"


def rasterize(scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None = None) -> Rasterization:
    """See `backends.Implementation`; rasterization and soft mask in one pass over the images."""
    index = torch.empty(len(scene.corners), height, width, dtype=torch.int64, device=scene.corners.device)
    features, depth, mask = _Rasterize.apply(
        scene.corners.contiguous(),
        scene.features.contiguous(),
        scene.z.detach().contiguous(),
        None if scene.drawn is None else scene.drawn.contiguous(),
        index,
        soft_mask,
        _schedule(scene.corners),
    )
    return Rasterization(features, index, depth, mask)


def soft_silhouette(
    corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], soft_mask: SoftMaskSettings
) -> Float[Tensor, "b h w"]:
    """See `backends.Implementation`."""
    arguments = (corners.contiguous(), None, None, None, face_index.contiguous(), soft_mask, _schedule(corners))
    mask: Tensor = _Rasterize.apply(*arguments)[2]
    return mask


def _schedule(tensor: Tensor) -> Schedule:
    return "cpu" if tensor.device.type == "cpu" else "cuda"


class _Rasterize(torch.autograd.Function):
    """Rasterization, which fills `index`, and soft mask. Without values only the mask, of the index as it is; without
    settings no mask.
    """

    @staticmethod
    def forward(
        ctx: Any,
        corners: Float[Tensor, "b f 3 2"],
        values: Float[Tensor, "b f 3 d"] | None,
        z: Float[Tensor, "b f 3"] | None,
        drawn: Bool[Tensor, "b f"] | None,
        index: Int64[Tensor, "b h w"],
        soft_mask: SoftMaskSettings | None,
        schedule: Schedule,
    ) -> tuple[Float[Tensor, "b h w d"] | None, Float[Tensor, "b h w"] | None, Float[Tensor, "b h w"] | None]:
        depth = features = slopes = states = mask = None
        if values is not None:
            depth = torch.empty_like(index, dtype=values.dtype)
            features = values.new_empty(*index.shape, values.shape[3])
            slopes = values.new_empty(*values.shape[:2], 2, values.shape[3])
            ctx.mark_non_differentiable(depth)
        if soft_mask is not None:
            states, mask = torch.empty_like(index, dtype=torch.int32), torch.empty_like(index, dtype=corners.dtype)
        nonfinite = torch.zeros(len(index), dtype=torch.int32, device=index.device)
        work = Buffers(corners, index, z, values, drawn, slopes, depth, features, states, mask, nonfinite)
        ctx.settings, ctx.schedule = soft_mask or SoftMaskSettings(), schedule
        for part in work.parts():
            if schedule == "cpu":
                share(image.images_forward, len(part.corners), part, ctx.settings)
            else:
                _forward_by_pixel(part, ctx.settings)
        if nonfinite.any():
            check_finite(corners, "face_vertices_image")
            if z is not None:
                check_finite(z, "face_vertices_z")
        ctx.save_for_backward(corners, index, drawn, slopes, states, mask)
        ctx.set_materialize_grads(False)  # no zero images for results without a gradient
        return features, depth, mask

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_features: Float[Tensor, "b h w d"] | None, _: None, grad_mask: Float[Tensor, "b h w"] | None
    ) -> tuple[Tensor | None, ...]:
        if grad_features is None and grad_mask is None:
            return (None,) * 7
        corners, index, drawn, slopes, states, mask = ctx.saved_tensors
        work = Buffers(
            corners,
            index,
            drawn=drawn,
            slopes=slopes,
            states=states,
            mask=mask,
            grad_features=None if grad_features is None else grad_features.contiguous(),
            grad_mask=None if grad_mask is None else grad_mask.contiguous(),
            grad_corners=torch.empty_like(corners),
            grad_values=None if grad_features is None else slopes.new_empty(*corners.shape[:3], slopes.shape[3]),
        )
        for part in work.parts():
            if ctx.schedule == "cpu":
                share(image.images_backward, len(part.corners), part, ctx.settings)
            else:
                _backward_by_face(part, ctx.settings)
        return work.grad_corners, work.grad_values, *(None,) * 5


def _forward_by_pixel(work: Buffers, settings: SoftMaskSettings) -> None:
    (batch, faces), (height, width) = work.corners.shape[:2], work.face_index.shape[1:]
    if work.depth is not None:
        work.face_index.fill_(raster.EMPTY.value)
        launch(raster.raster_forward, batch * faces, work, settings)
        launch(raster.interpolate_pixels, work.face_index.numel(), work, settings)
    if work.mask is not None:
        tiles, words = -(-height // silhouette.TILE) * -(-width // silhouette.TILE), -(-faces // 32)
        marked = work._replace(marks=work.mask.new_zeros(batch, tiles, words, dtype=torch.int32))
        launch(silhouette.mark_tiles, batch * faces, marked, settings)
        launch(silhouette.soft_forward, work.face_index.numel(), marked, settings)


def _backward_by_face(work: Buffers, settings: SoftMaskSettings) -> None:
    rows = work.corners.shape[0] * work.corners.shape[1]
    if work.grad_features is not None:
        launch(raster.raster_backward, rows, work, settings)
    elif work.grad_corners is not None:
        work.grad_corners.zero_()
    if work.grad_mask is not None:
        launch(silhouette.soft_backward, rows, work, settings)
