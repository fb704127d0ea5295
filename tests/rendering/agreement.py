"""What a backend computes for a scene, and how far it may differ from the reference."""

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from ganverse.rendering import reference, warp_backend
from ganverse.rendering.scene import SoftMaskSettings, Triangles
from tests.rendering.random_scenes import cast


class Case(NamedTuple):
    """A scene, an image size, and the silhouette's settings."""

    scene: Triangles
    height: int = 32
    width: int = 32
    sigmainv: float = 7000.0
    boxlen: float = 0.02
    knum: int = 30

    @property
    def settings(self) -> SoftMaskSettings:
        return SoftMaskSettings(self.sigmainv, self.boxlen, self.knum)


class Outcome(NamedTuple):
    """Everything a backend computes."""

    index: Tensor
    depth: Tensor
    features: Tensor
    mask: Tensor
    grad_corners: Tensor
    grad_features: Tensor
    grad_corners_of_mask: Tensor


def run(backend: ModuleType, case: Case, dtype: torch.dtype) -> Outcome:
    scene = cast(case.scene, dtype)
    corners, values = scene.corners.clone().requires_grad_(), scene.features.clone().requires_grad_()
    drawn = backend.rasterize(scene._replace(corners=corners, features=values), case.height, case.width)
    features, index, depth = drawn.features, drawn.face_index, drawn.depth
    mask = backend.soft_silhouette(corners, index, case.settings)
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(t.shape, generator=generator).to(dtype) for t in (features, mask)]
    grad_corners, grad_values = torch.autograd.grad(features, (corners, values), grads[0])
    (grad_mask,) = torch.autograd.grad(mask, corners, grads[1])
    return Outcome(index, depth, features.detach(), mask.detach(), grad_corners, grad_values, grad_mask)


def error(found: Tensor, truth: Tensor) -> float:
    """Largest difference, relative to the largest value if that is above one."""
    if truth.numel() == 0:
        return 0.0
    return ((found - truth).abs().max() / truth.abs().max().clamp_min(1)).item()


def assert_warp_agrees(case: Case) -> None:
    found = run(warp_backend, case, torch.float32)
    single, truth = run(reference, case, torch.float32), run(reference, case, torch.float64)
    # Faces may only be confused where they touch: at equal depth, or at an edge that float32 cannot place.
    confused = found.index != single.index
    if confused.any():
        assert (found.depth - single.depth)[confused].abs().max() < 1e-5
        return
    if not single.index.equal(truth.index):
        truth = single
    for label in ("depth", "features", "mask", "grad_corners", "grad_features", "grad_corners_of_mask"):
        limit = 1e-4 if label.startswith("grad") else 1e-5
        # Where the problem itself is that sensitive, float32 arithmetic cannot do better than float32 arithmetic.
        limit = max(limit, 4 * error(getattr(single, label), getattr(truth, label)))
        assert error(getattr(found, label), getattr(truth, label)) <= limit, label
