"""The soft silhouette of the nearest faces on Warp: scratch memory, launches, and its place in autograd."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganverse.rendering import warp_nearest_kernels as kernels
from ganverse.rendering.warp_launch import centres, parts, share

# Scratch memory weighs this much more than other arrays, so that parts of the batch take a quarter of a gigabyte of it.
SCRATCH = 64


class NearestSilhouette(torch.autograd.Function):
    """Soft mask of the `knum` nearest faces; keeps 12 bytes a pixel for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        corners: Float[Tensor, "b f 3 2"],
        index: Int64[Tensor, "b h w"],
        sigmainv: float,
        boxlen: float,
        knum: int,
    ) -> Float[Tensor, "b h w"]:
        batch, height, width = index.shape
        device = corners.device
        mask, reach = corners.new_empty(batch, height, width), torch.empty_like(index)
        size = (corners.shape[1], height, width, sigmainv, boxlen, knum, *centres(height, width, device))

        for part in parts(batch, max(SCRATCH * height * width * knum, 6 * corners.shape[1])):
            counts = torch.empty(mask[part].shape, dtype=torch.int32, device=device)
            lists = index.new_empty(*counts.shape, knum)
            outputs = (lists, counts, reach[part], mask[part])
            share(kernels.fade_rows, len(counts) * height, device, *size, corners[part], index[part], *outputs)
        ctx.save_for_backward(corners, reach, mask)
        ctx.sigmainv, ctx.boxlen = sigmainv, boxlen
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Float[Tensor, "b h w"]) -> tuple[Tensor | None, ...]:
        corners, reach, mask = ctx.saved_tensors
        batch, height, width = mask.shape
        faces, device = corners.shape[1], corners.device
        grad_mask, grad_corners = grad_mask.contiguous(), torch.empty_like(corners)
        size = (faces, height, width, ctx.sigmainv, ctx.boxlen, *centres(height, width, device))

        for part in parts(batch, max(height * width, 6 * faces)):
            pixels = (reach[part], mask[part], grad_mask[part])
            faces_of_part = len(mask[part]) * faces
            share(kernels.pull_faces, faces_of_part, device, *size, corners[part], *pixels, grad_corners[part])
        return grad_corners, None, None, None, None
