"""DIB-R on Warp's kernels, on the CPU and on CUDA, in float32; the same function set as the reference.

Memory kept for the backward pass: 16 bytes a pixel, of which the face index (8) and the mask (4) are results anyway.
"""

from typing import Any

import torch
import warp as wp
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering.scene import Rasterization, Rim, Triangles, check_finite
from ganverse.rendering.warp_start import start_quietly

start_quietly()

from ganverse.rendering.warp_buffers import Buffers  # noqa: E402
from ganverse.rendering.warp_nearest import NearestSilhouette  # noqa: E402  (importing kernels starts Warp)
from ganverse.rendering.warp_schedules import Schedule, draw, pull  # noqa: E402


def why_not(device_type: str) -> str:
    """Why Warp cannot work on this kind of device; empty if it can."""
    if device_type == "cpu" or (device_type == "cuda" and wp.is_cuda_available()):
        return ""
    return "no CUDA driver that Warp can use" if device_type == "cuda" else "Warp has no such device"


def rasterize(scene: Triangles, height: int, width: int) -> Rasterization:
    """See `ganverse.rendering.rasterization.rasterize`."""
    return _draw(scene, height, width, None)[0]


def soft_silhouette(
    corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], rim: Rim
) -> Float[Tensor, "b h w"]:
    """See `ganverse.rendering.rasterization.soft_silhouette`."""
    corners, face_index = corners.contiguous(), face_index.contiguous()
    if rim.nearest:
        check_finite(corners, "face_vertices_image")
        return NearestSilhouette.apply(corners, face_index, rim)
    return _Fade.apply(corners, face_index, rim, _schedule(corners))


def dibr(scene: Triangles, height: int, width: int, rim: Rim) -> tuple[Rasterization, Float[Tensor, "b h w"]]:
    """See `ganverse.rendering.rasterization.dibr`."""
    if not rim.nearest:
        return _draw(scene, height, width, rim)
    drawn = rasterize(scene, height, width)
    return drawn, soft_silhouette(scene.corners, drawn.face_index, rim)


def _draw(scene: Triangles, height: int, width: int, rim: Rim | None) -> tuple[Rasterization, Any]:
    features, index, depth, mask = _Draw.apply(
        scene.corners.contiguous(),
        scene.z.detach().contiguous(),
        scene.features.contiguous(),
        None if scene.drawn is None else scene.drawn.contiguous(),
        height,
        width,
        rim,
        _schedule(scene.corners),
    )
    return Rasterization(features, index, depth), mask


def _schedule(tensor: Tensor) -> Schedule:
    return "cpu" if tensor.device.type == "cpu" else "cuda"


class _Draw(torch.autograd.Function):
    """Both primitives at once; without a rim, rasterization alone (the mask is None)."""

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
        states = None if rim is None else torch.empty_like(index, dtype=torch.int32)
        mask = None if rim is None else torch.empty_like(depth)
        strange = torch.zeros(batch, dtype=torch.int32, device=corners.device)
        ctx.rim, ctx.schedule = rim or Rim(), schedule
        draw(
            Buffers(corners, index, z, values, drawn, slopes, depth, features, states, mask, strange),
            ctx.rim,
            schedule,
        )
        if strange.any():
            Triangles(corners, z, values).check()
        ctx.save_for_backward(corners, index, drawn, slopes, states, mask)
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
        pull(work, ctx.rim, ctx.schedule)
        return work.grad_corners, None, work.grad_values, *(None,) * 5


class _Fade(torch.autograd.Function):
    """The silhouette of what is already drawn."""

    @staticmethod
    def forward(
        ctx: Any, corners: Float[Tensor, "b f 3 2"], index: Int64[Tensor, "b h w"], rim: Rim, schedule: Schedule
    ) -> Float[Tensor, "b h w"]:
        states, mask = torch.empty_like(index, dtype=torch.int32), torch.empty_like(index, dtype=corners.dtype)
        strange = torch.zeros(len(index), dtype=torch.int32, device=index.device)
        draw(Buffers(corners, index, states=states, mask=mask, strange=strange), rim, schedule)
        if strange.any():
            check_finite(corners, "face_vertices_image")
        ctx.save_for_backward(corners, index, states, mask)
        ctx.rim, ctx.schedule = rim, schedule
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Float[Tensor, "b h w"]) -> tuple[Tensor | None, ...]:
        corners, index, states, mask = ctx.saved_tensors
        grad_mask, grad_corners = grad_mask.contiguous(), torch.empty_like(corners)
        work = Buffers(corners, index, states=states, mask=mask, grad_mask=grad_mask, grad_corners=grad_corners)
        pull(work, ctx.rim, ctx.schedule)
        return grad_corners, None, None, None
