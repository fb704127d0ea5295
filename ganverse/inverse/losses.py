"""Losses of the inverse graphics network: Eq. 1 and Eq. 2 of the paper.

The image losses are unreduced over pairs: value [b, i, j] is "mesh and texture predicted from view i of object b,
rendered from view j". Eq. 2 sums them over both predictions and both views (the full 2 x 2, as DIB-R trains).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError, check_ranges
from ganverse.geometry.cameras import Cameras


@dataclass(frozen=True)
class InverseLossWeights:
    """Weights of Eq. 1, and of additional terms."""

    color: float = 20.0
    """Absolute color error inside the mask."""
    perceptual: float = 3.0
    """LPIPS inside the mask. The paper's 0.5 refers to an unknown scale; here it would be 1 % of the loss."""
    silhouette: float = 3.0
    """1 - IoU of the soft silhouette and the mask."""
    flatten: float = 5.0
    """Angles between neighboring faces."""
    laplacian: float = 5.0
    """Laplacian of the displacement."""
    move: float = 2.5
    """Length of the displacement."""
    own_view: float = 1.0
    """Weight of renders from the input view. Only the ratio to `other_view` matters: GAN views are not strictly
    consistent, so the two can be balanced."""
    other_view: float = 1.0
    """Weight of renders from the object's other views."""
    camera: float = 10.0
    """Not in the paper: regression of the predicted camera to the camera table. It allows re-rendering photos of
    unknown cameras, and the texture flow starts from the projection."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.own_view + self.other_view == 0:
            raise GanverseError(f"expected own_view or other_view above 0, got {self}")


DEFAULT_WEIGHTS = InverseLossWeights()


@dataclass(frozen=True)
class InverseLosses:
    """Unweighted terms; `pairs` = predicted-from view x rendered view.

    perceptual: 0 where not evaluated. flatten, laplacian, move: means over the mesh.
    """

    color: Float[Tensor, "batch views views"]
    silhouette: Float[Tensor, "batch views views"]
    perceptual: Float[Tensor, ""]
    flatten: Float[Tensor, "batch views"]
    laplacian: Float[Tensor, "batch views"]
    move: Float[Tensor, "batch views"]
    camera: Float[Tensor, "batch views"]

    def total(self, weights: InverseLossWeights) -> Float[Tensor, ""]:
        """Weighted sum: Eq. 1 averaged over the pairs of Eq. 2."""
        pairs = pair_weights(self.color.shape[1], weights, device=self.color.device)
        return (
            weights.color * (self.color * pairs).sum(dim=(1, 2)).mean()
            + weights.silhouette * (self.silhouette * pairs).sum(dim=(1, 2)).mean()
            + weights.perceptual * self.perceptual
            + weights.flatten * self.flatten.mean()
            + weights.laplacian * self.laplacian.mean()
            + weights.move * self.move.mean()
            + weights.camera * self.camera.mean()
        )


def pair_weights(
    views: int, weights: InverseLossWeights, *, device: torch.device | str = "cpu"
) -> Float[Tensor, "views views"]:
    """Weight of every pair (predicted from, rendered as); the weights sum to 1."""
    own = torch.eye(views, device=device)
    raw = weights.own_view * own + weights.other_view * (1 - own)
    return raw / raw.sum()


def color_loss(
    rgb: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """L_col: absolute RGB error, averaged over the pixels of the given (not rendered) mask and the channels."""
    error = ((rgb - target).abs() * mask).sum(dim=(1, 2, 3))
    return error / (3 * mask.sum(dim=(1, 2, 3))).clamp_min(1.0)


def silhouette_loss(
    alpha: Float[Tensor, "batch 1 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """L_IoU: 1 - intersection over union of the soft silhouette and the mask."""
    return 1 - silhouette_iou(alpha, mask)


def silhouette_iou(
    alpha: Float[Tensor, "batch 1 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Intersection over union of two coverages in [0, 1]: a metric for hard ones, 1 - L_IoU for soft ones."""
    intersection = (alpha * mask).sum(dim=(1, 2, 3))
    union = (alpha + mask - alpha * mask).sum(dim=(1, 2, 3))
    return intersection / union.clamp_min(1e-6)


def chroma_error(
    rgb: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Metric: mean absolute error of colors without their gray part, inside the mask.

    Reveals wrong hues, which IoU and L1 hide. Compare with the value for gray (`rgb` = 0).
    """
    return color_loss(rgb - rgb.mean(dim=1, keepdim=True), target - target.mean(dim=1, keepdim=True), mask)


def camera_loss(predicted: Cameras, target: Cameras) -> Float[Tensor, " batch"]:
    """Squared distance of viewing directions plus squared errors of log distance and image offset.

    The target gets no gradient: the table learns only from renders.
    """
    direction = (
        predicted.position / predicted.distance[:, None] - target.position.detach() / target.distance[:, None].detach()
    )
    scale = predicted.distance.log() - target.distance.detach().log()
    shift = predicted.offset - target.offset.detach()
    return direction.square().sum(dim=-1) + scale.square() + shift.square().sum(dim=-1)
