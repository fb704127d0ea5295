"""What a backend of the renderer is given, and what it gives back."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError


class Triangles(NamedTuple):
    """Projected faces with features, all of one dtype; see `rasterization.rasterize` for units.

    drawn: faces that take part; None = all.
    """

    corners: Float[Tensor, "b f 3 2"]
    z: Float[Tensor, "b f 3"]
    features: Float[Tensor, "b f 3 d"]
    drawn: Bool[Tensor, "b f"] | None = None

    def check_shapes(self) -> None:
        """Raises GanverseError if the tensors do not belong together."""
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
    """Softness of the silhouette outside the object. A soft silhouette shrinks what is fitted to it: end with `SHARP`.

    The defaults are Kaolin's. See docs/rendering.md for what they do to a fit.
    """

    sigmainv: float = 7000.0
    """Sharpness in 1 / NDC^2, from 3333 to 1000000: a pixel at distance d from a face has probability
    exp(-sigmainv d^2). A larger value is less biased towards a small object, but its gradient reaches less far."""
    boxlen: float = 0.02
    """Reach in NDC, from 0.01 to 0.2: about sqrt(3 / sigmainv), and at least a pixel (2 / size); time grows with it."""
    knum: int = 30
    """Faces per pixel, from 20 to 100: of more, the first by index count. Raise it with boxlen and the faces."""

    def __post_init__(self) -> None:
        if not (0 < self.sigmainv < math.inf and 0 <= self.boxlen < math.inf and self.knum >= 1):
            raise GanverseError(
                f"a soft mask needs sigmainv > 0, boxlen >= 0 and knum >= 1, got {self.sigmainv}, {self.boxlen} and"
                f" {self.knum}: start from the defaults 7000, 0.02 and 30"
            )


SHARP = SoftMaskSettings(250_000.0, 0.02)
"""Hardly wider than the object: 1 % more area on a car at 64 pixels, where 15000 has 5 % and 7000 has 8 %."""


@dataclass(frozen=True)
class Rasterization:
    """An image of triangles.

    features: interpolated features of the nearest face, 0 on the background. Differentiable with respect to the
        features and to the image positions of the corners, not to their z.
    face_index: index of the nearest face, -1 = background.
    depth: camera z of the nearest face (negative), 0 on the background. Carries no gradient.
    mask: soft silhouette, see `rasterization.soft_silhouette`; None without `SoftMaskSettings`.
    """

    features: Float[Tensor, "b h w d"]
    face_index: Int64[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]
    mask: Float[Tensor, "b h w"] | None = None


def check_finite(values: Float[Tensor, "b *rest"], name: str) -> None:
    """Raises GanverseError, with the batch indices, if a value is NaN or infinite."""
    nonfinite = ~torch.isfinite(values.detach()).flatten(1).all(1)
    if nonfinite.any():
        where = ", ".join(str(i) for i in nonfinite.nonzero().squeeze(1).tolist())
        raise GanverseError(
            f"{name} must be finite, but batch index {where} holds NaN or infinity:"
            " look at the camera and vertices of that sample"
        )
