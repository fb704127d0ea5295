"""Inputs and outputs of the renderer's backends."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError


class Triangles(NamedTuple):
    """Projected faces with features, all of one dtype; see `rasterization.rasterize` for units.

    drawn: faces to draw; None = all.
    """

    corners: Float[Tensor, "b f 3 2"]
    z: Float[Tensor, "b f 3"]
    features: Float[Tensor, "b f 3 d"]
    drawn: Bool[Tensor, "b f"] | None = None

    def check_shapes(self) -> None:
        """Raises GanverseError if the tensors' shapes or devices do not match."""
        batch, faces = self.corners.shape[:2]
        parts: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
            "face_vertices_image": (self.corners, (3, 2)),
            "face_vertices_z": (self.z, (3,)),
            "face_features": (self.features, (3, self.features.shape[-1])),
            "valid_faces or face_normals_z": (self.drawn, ()),
        }
        for name, (tensor, last) in parts.items():
            expected = (batch, faces, *last)
            if tensor is not None and (tensor.shape != expected or tensor.device != self.corners.device):
                raise GanverseError(
                    f"expected {name} of {expected} on {self.corners.device} like face_vertices_image,"
                    f" got {tuple(tensor.shape)} on {tensor.device}"
                )

    def check_finite(self) -> None:
        """Raises GanverseError if a position is not finite."""
        check_finite(self.corners, "face_vertices_image")
        check_finite(self.z, "face_vertices_z")


@dataclass(frozen=True)
class SoftMaskSettings:
    """Softness of the silhouette outside the object. Soft silhouettes shrink fitted objects, so end with `SHARP`.

    The defaults are Kaolin's. See docs/rendering.md for their effect on a fit.
    """

    sigmainv: float = 7000.0
    """Sharpness in 1 / NDC^2, from 3333 to 1000000: a pixel at distance d from a face has probability
    exp(-sigmainv d^2). A larger value has less bias towards small objects, but its gradient reaches less far."""
    boxlen: float = 0.02
    """Reach in NDC, from 0.01 to 0.2: about sqrt(3 / sigmainv), and at least a pixel (2 / size); costs time."""
    knum: int = 30
    """Faces per pixel, from 20 to 100; the first by index count. Increase it with boxlen and the number of faces."""

    def __post_init__(self) -> None:
        if not (0 < self.sigmainv < math.inf and 0 <= self.boxlen < math.inf and self.knum >= 1):
            raise GanverseError(
                f"expected sigmainv > 0, boxlen >= 0 and knum >= 1, got {self.sigmainv}, {self.boxlen} and"
                f" {self.knum}; start from the defaults 7000, 0.02 and 30"
            )


SHARP = SoftMaskSettings(250_000.0, 0.02)
"""Barely larger than the object: 1 % more area on a car at 64 pixels, where 15000 has 5 % and 7000 has 8 %."""


@dataclass(frozen=True)
class Rasterization:
    """An image of triangles.

    features: interpolated features of the nearest face, 0 on the background. Differentiable with respect to the
        features and the corners' image positions, not their z.
    face_index: index of the nearest face, -1 = background.
    depth: camera z of the nearest face (negative), 0 on the background. No gradient.
    mask: soft silhouette, see `rasterization.soft_silhouette`; None without `SoftMaskSettings`.
    """

    features: Float[Tensor, "b h w d"]
    face_index: Int64[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]
    mask: Float[Tensor, "b h w"] | None = None


def check_finite(values: Float[Tensor, "b *rest"], name: str) -> None:
    """Raises GanverseError with the batch indices if a value is NaN or infinite."""
    nonfinite = ~torch.isfinite(values.detach()).flatten(1).all(1)
    if nonfinite.any():
        where = ", ".join(str(i) for i in nonfinite.nonzero().squeeze(1).tolist())
        raise GanverseError(
            f"expected finite {name}, got NaN or infinity at batch index {where};"
            " check the camera and vertices of that sample"
        )
