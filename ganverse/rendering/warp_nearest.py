"""The soft silhouette of the nearest faces on Warp: scratch memory, launches, and its place in autograd."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering import warp_nearest_kernels as kernels
from ganverse.rendering.scene import Rim
from ganverse.rendering.warp_buffers import Buffers
from ganverse.rendering.warp_launch import parts, share

# Scratch memory weighs this much more than other arrays, so that parts of the batch take a quarter of a gigabyte of it.
SCRATCH = 64


class NearestSilhouette(torch.autograd.Function):
    """Soft mask of the `knum` nearest faces; keeps 20 bytes a pixel for the backward pass, 8 of them the index."""

    @staticmethod
    def forward(
        ctx: Any, corners: Float[Tensor, "b f 3 2"], index: Int64[Tensor, "b h w"], rim: Rim
    ) -> Float[Tensor, "b h w"]:
        _, height, width = index.shape
        mask, reach = torch.empty_like(index, dtype=corners.dtype), torch.empty_like(index)
        whole = Buffers(corners, index, mask=mask, reach=reach)
        for images in parts(len(index), max(SCRATCH * height * width * rim.knum, 6 * corners.shape[1])):
            part = whole.part(images)
            lists, counts = (
                index.new_empty(*part.face_index.shape, rim.knum),
                torch.empty_like(part.face_index, dtype=torch.int32),
            )
            share(kernels.fade_rows, len(counts) * height, part._replace(lists=lists, counts=counts), rim)
        ctx.save_for_backward(corners, index, mask, reach)
        ctx.rim = rim
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Float[Tensor, "b h w"]) -> tuple[Tensor | None, ...]:
        corners, index, mask, reach = ctx.saved_tensors
        grad_mask, grad_corners = grad_mask.contiguous(), torch.empty_like(corners)
        whole = Buffers(corners, index, mask=mask, reach=reach, grad_mask=grad_mask, grad_corners=grad_corners)
        for images in parts(len(index), max(index[:1].numel(), 6 * corners.shape[1])):
            part = whole.part(images)
            share(kernels.pull_nearest, part.corners.shape[0] * part.corners.shape[1], part, ctx.rim)
        return grad_corners, None, None
