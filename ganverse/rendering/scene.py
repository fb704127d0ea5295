"""What a backend of the renderer is given, and what it gives back."""

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

    def check(self) -> None:
        """Raises GanverseError if a position is not finite."""
        check_finite(self.corners, "face_vertices_image")
        check_finite(self.z, "face_vertices_z")


class Rim(NamedTuple):
    """Settings of the silhouette; see `rasterization.soft_silhouette`."""

    sigmainv: float = 7000.0
    boxlen: float = 0.02
    knum: int = 30
    nearest: bool = False


@dataclass(frozen=True)
class Rasterization:
    """What the pixels show.

    features: interpolated features of the nearest face, 0 on the background. Differentiable with respect to the
        features and to the image positions of the corners, not to their z.
    face_index: index of the nearest face, -1 = background.
    depth: camera z of the nearest face (negative), 0 on the background. Carries no gradient.
    """

    features: Float[Tensor, "b h w d"]
    face_index: Int64[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]


def check_finite(values: Float[Tensor, "b *rest"], name: str) -> None:
    """Raises GanverseError, with the batch indices, if a value is NaN or infinite."""
    strange = ~torch.isfinite(values.detach()).flatten(1).all(1)
    if strange.any():
        where = ", ".join(str(i) for i in strange.nonzero().squeeze(1).tolist())
        raise GanverseError(
            f"{name} must be finite, but batch index {where} holds NaN or infinity:"
            " look at the camera and vertices of that sample"
        )
