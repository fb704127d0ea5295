"""The losses of StyleGAN-R (paper, section 4), un-reduced: one number per sample (or style dimension).

Distances are un-scaled means, so their weights do not depend on resolutions or vertex counts. Weights and the visible
sum live in `tasks.disentangle`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ganverse.geometry.cameras import Cameras


@dataclass(frozen=True)
class DisentangleWeights:
    """Weights of all terms; each may be 0, which also skips its computation.

    Stage 1 (L_mapnet): mapping, entropy. Stage 2 of the paper: shape, texture, background, shared_background. Ours:
    distill_* pull un-swapped combinations to the frozen GAN's own object on the background asked for (L1 and
    perceptual); behind compares the picture with that background wherever both show it; camera compares the
    silhouette of S rendered at V with the segmenter's mask of the synthesized image; view compares V with the camera
    that f reads off that image; appearance compares the colors of the two renderers inside both silhouettes; anchor
    keeps the mapping loss in stage 2; adversarial sets a critic on all synthesized images (see `critic`), whose own
    loss is a part of the term.
    """

    mapping: float = 1.0
    entropy: float = 0.1
    shape: float = 1.0
    texture: float = 1.0
    background: float = 1.0
    shared_background: float = 1.0
    behind: float = 2.0
    camera: float = 2.0
    view: float = 1.0
    appearance: float = 1.0
    distill_l1: float = 1.0
    distill_perceptual: float = 2.0
    anchor: float = 0.02
    adversarial: float = 0.0


DEFAULT_WEIGHTS = DisentangleWeights()


def mapping_distance(
    predicted: Float[Tensor, "batch styles"], target: Float[Tensor, "batch styles"]
) -> Float[Tensor, " batch"]:
    """||w~ - w*||_2 / sqrt(dimensions): the root of the mean square, in whatever units the styles come."""
    return ((predicted - target).square().mean(dim=1) + 1e-12).sqrt()


def shape_distance(
    vertices: Float[Tensor, "batch verts 3"], repredicted: Float[Tensor, "batch verts 3"]
) -> Float[Tensor, " batch"]:
    """||S - S^||: mean distance of corresponding vertices, world units."""
    return ((vertices - repredicted).square().sum(dim=2) + 1e-12).sqrt().mean(dim=1)


def texture_distance(
    texture: Float[Tensor, "batch 3 tex tex"], repredicted: Float[Tensor, "batch 3 tex tex"]
) -> Float[Tensor, " batch"]:
    """||T - T^||: mean absolute difference over the UV chart, colors in [0, 1]."""
    return (texture - repredicted).abs().mean(dim=(1, 2, 3))


def code_distance(code: Float[Tensor, "batch dims"], other: Float[Tensor, "batch dims"]) -> Float[Tensor, " batch"]:
    """||g_b(B) - g_b(B^)|| and ||g_b(B1) - g_b(B2)||, as a root mean square; see `StyleGANR.background_code`."""
    return mapping_distance(code, other)


def silhouette_distance(
    alpha: Float[Tensor, "batch 1 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """1 - soft IoU of two coverages in [0, 1]."""
    intersection = (alpha * mask).sum(dim=(1, 2, 3))
    union = (alpha + mask - alpha * mask).sum(dim=(1, 2, 3))
    return 1 - intersection / union.clamp_min(1e-6)


def view_distance(asked: Cameras, measured: Cameras) -> Float[Tensor, " batch"]:
    """Chord between two viewing directions: 0 for equal ones, 2 for front against rear.

    About the angle in radians. Its square would hardly feel the few degrees by which elevations differ.
    """
    a, b = (cameras.position / cameras.distance[:, None] for cameras in (asked, measured))
    return ((a - b).square().sum(dim=1) + 1e-8).sqrt()


def color_distance(
    image: Float[Tensor, "batch 3 height width"],
    other: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Mean absolute color difference where mask is 1; 0 where it is empty."""
    difference = (image - other).abs().mean(dim=1, keepdim=True) * mask
    return difference.sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp_min(1.0)
