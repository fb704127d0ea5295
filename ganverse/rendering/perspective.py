"""Perspective-correct interpolation on top of any backend that interpolates affinely in the image.

Not f but f / z is affine in the image, and so is 1 / z. So a backend draws f * n and n with the nearness n = -1 / z,
and their quotient is f at the point that the pixel's ray hits. Nearness grows towards the camera as z does, and sorts
faces exactly.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def nearness(z: Float[Tensor, "b f 3"], in_front: Bool[Tensor, "b f"]) -> Float[Tensor, "b f 3"]:
    """-1 / z of faces in front of the camera, 1 for the others."""
    return -1 / torch.where(in_front[..., None], z, -1.0)


def weighted(features: Float[Tensor, "b f 3 d"], near: Float[Tensor, "b f 3"]) -> Float[Tensor, "b f 3 more"]:
    """What the backend is to draw: the features times nearness, and nearness itself as the last one."""
    return torch.cat([features * near[..., None], near[..., None]], -1)


def unweighted(drawn: Float[Tensor, "b h w more"], covered: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w d"]:
    """The features, out of what was drawn; 0 where nothing was."""
    return _Quotient.apply(drawn, covered)


class _Quotient(torch.autograd.Function):
    """drawn[..., :-1] / drawn[..., -1], in half the passes over the image that autograd would take."""

    @staticmethod
    def forward(
        ctx: Any, drawn: Float[Tensor, "b h w more"], covered: Bool[Tensor, "b h w"]
    ) -> Float[Tensor, "b h w d"]:
        inverse = torch.where(covered, drawn[..., -1], 1.0).reciprocal_()[..., None]
        quotient = drawn[..., :-1] * inverse
        ctx.save_for_backward(quotient, inverse)
        return quotient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "b h w d"]) -> tuple[Float[Tensor, "b h w more"], None]:
        quotient, inverse = ctx.saved_tensors
        over = grad * inverse
        return torch.cat([over, -(over * quotient).sum(-1, keepdim=True)], -1), None
