"""DIB-R on Warp's kernels, on the CPU and on CUDA, in float32; the same function set as the reference.

Memory kept for the backward pass: 16 bytes a pixel, of which the face index (8) and the mask (4) are results anyway.
"""

from typing import Any

import torch
import warp as wp
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering.warp_launch import start_quietly

start_quietly()

from ganverse.rendering.warp_nearest import NearestSilhouette  # noqa: E402  (importing kernels starts Warp)
from ganverse.rendering.warp_schedules import Drawing, Pulling, Rim, Schedule, draw, pull  # noqa: E402


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
    features, index, depth, _ = _draw(
        face_vertices_image, face_vertices_z, face_features, height, width, front_facing, None
    )
    return features, index, depth


def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
    nearest: bool,
) -> Float[Tensor, "b h w"]:
    """Soft mask; see `ganverse.rendering.rasterization.soft_silhouette`."""
    corners, index = face_vertices_image.contiguous(), face_index.contiguous()
    if nearest:
        return NearestSilhouette.apply(corners, index, sigmainv, boxlen, knum)
    return _Fade.apply(corners, index, Rim(sigmainv, boxlen, knum), _schedule(corners))


def dibr(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    front_facing: Bool[Tensor, "b f"] | None,
    sigmainv: float,
    boxlen: float,
    knum: int,
) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Features, face index, depth and soft mask; see `ganverse.rendering.rasterization.dibr`."""
    rim = Rim(sigmainv, boxlen, knum)
    return _draw(face_vertices_image, face_vertices_z, face_features, height, width, front_facing, rim)


def _draw(
    corners: Float[Tensor, "b f 3 2"],
    z: Float[Tensor, "b f 3"],
    values: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    drawn: Bool[Tensor, "b f"] | None,
    rim: Rim | None,
) -> Any:
    return _Draw.apply(
        corners.contiguous(),
        z.detach().contiguous(),
        values.contiguous(),
        None if drawn is None else drawn.contiguous(),
        height,
        width,
        rim,
        _schedule(corners),
    )


def _schedule(tensor: Tensor) -> Schedule:
    return "cpu" if tensor.device.type == "cpu" else "cuda"


class _Draw(torch.autograd.Function):
    """Both primitives at once; without a rim, rasterisation alone (the mask is None)."""

    @staticmethod
    def forward(
        ctx: Any,
        corners: Float[Tensor, "b f 3 2"],
        z: Float[Tensor, "b f 3"],
        values: Float[Tensor, "b f 3 d"],
        drawn: Bool[Tensor, "b f"] | None,
        height: int,
        width: int,
        rim: Rim | None,
        schedule: Schedule,
    ) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"], Float[Tensor, "b h w"] | None]:
        batch, faces, _, channels = values.shape
        index = torch.empty(batch, height, width, dtype=torch.int64, device=corners.device)
        depth, features = torch.empty_like(index, dtype=values.dtype), values.new_empty(batch, height, width, channels)
        slopes = values.new_empty(batch, faces, 2, channels)
        states, mask = (None, None) if rim is None else _rim_buffers(index)
        draw(Drawing(corners, z, values, drawn, slopes, index, depth, features, states, mask), rim, schedule)
        ctx.save_for_backward(corners, drawn, slopes, index, states, mask)
        ctx.rim, ctx.schedule = rim, schedule
        ctx.mark_non_differentiable(index, depth)
        ctx.set_materialize_grads(False)  # no images of zeros for what has no gradient
        return features, index, depth, mask

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_features: Float[Tensor, "b h w d"] | None,
        _: None,
        __: None,
        grad_mask: Float[Tensor, "b h w"] | None,
    ) -> tuple[Tensor | None, ...]:
        if grad_features is None and grad_mask is None:
            return (None,) * 8
        corners, drawn, slopes, index, states, mask = ctx.saved_tensors
        grad_corners, grad_values = torch.empty_like(corners), None
        if grad_features is not None:
            grad_features, grad_values = (
                grad_features.contiguous(),
                slopes.new_empty(*corners.shape[:3], slopes.shape[3]),
            )
        grad_mask = None if grad_mask is None else grad_mask.contiguous()
        grads = (grad_features, grad_mask, grad_corners, grad_values)
        pull(Pulling(corners, drawn, slopes, index, states, mask, *grads), ctx.rim, ctx.schedule)
        return grad_corners, None, grad_values, *(None,) * 5


class _Fade(torch.autograd.Function):
    """The silhouette of what is already drawn."""

    @staticmethod
    def forward(
        ctx: Any, corners: Float[Tensor, "b f 3 2"], index: Int64[Tensor, "b h w"], rim: Rim, schedule: Schedule
    ) -> Float[Tensor, "b h w"]:
        states, mask = _rim_buffers(index)
        draw(Drawing(corners, None, None, None, None, index, None, None, states, mask), rim, schedule)
        ctx.save_for_backward(corners, states, mask)
        ctx.rim, ctx.schedule = rim, schedule
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Float[Tensor, "b h w"]) -> tuple[Tensor | None, ...]:
        corners, states, mask = ctx.saved_tensors
        grads = (None, grad_mask.contiguous(), torch.empty_like(corners), None)
        pull(Pulling(corners, None, None, None, states, mask, *grads), ctx.rim, ctx.schedule)
        return grads[2], None, None, None


def _rim_buffers(index: Int64[Tensor, "b h w"]) -> tuple[Int32[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Room for states (see `warp_silhouette_kernels`) and mask."""
    return torch.empty_like(index, dtype=torch.int32), torch.empty_like(index, dtype=torch.float32)
