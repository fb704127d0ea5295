"""Losses of StyleGAN-R (paper, section 4): unreduced terms of both training stages, and their weighted sum.

Every term is a mean over pixels, texels, vertices or dimensions with one number per scene (per style dimension for the
entropy), so weights do not depend on resolution, vertex count or batch size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ganverse.errors import check_ranges
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.losses import color_loss, silhouette_loss
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scene_swaps import SwappedScenes
from ganverse.neural_renderer.scenes import Scenes, background_mask, remove_object
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.neural_renderer.training_scenes import FrozenNetworks, TrainingScene
from ganverse.rendering import SHARP, render


@dataclass(frozen=True)
class DisentangleWeights:
    """Weights of the terms, by name. A term with weight 0 is not computed."""

    mapping: float = 1.0
    """Stage 1, L_mapnet: distance of predicted styles to the GAN's, in standard deviations."""
    entropy: float = 0.1
    """Both stages: entropy of the fusion weights."""
    shape: float = 1.0
    """Stage 2: vertices compared with f's prediction from the synthesized image."""
    texture: float = 1.0
    """Stage 2: texture compared with f's prediction from the synthesized image."""
    background: float = 1.0
    """Stage 2: g_b of the background compared with g_b of the synthesized image without its object."""
    shared_background: float = 1.0
    """Stage 2: g_b of a synthesized image compared with g_b of its swapped copy under the same camera."""
    background_pixels: float = 2.0
    """Not in the paper: color of the synthesized image compared with the background, where both show it."""
    camera: float = 2.0
    """Not in the paper: silhouette of the shape under the camera compared with the synthesized image's mask."""
    view: float = 1.0
    """Not in the paper: camera compared with f's prediction from the synthesized image."""
    appearance: float = 1.0
    """Not in the paper: colors of the DIB-R render and the synthesized image, inside both silhouettes."""
    distill_l1: float = 1.0
    """Not in the paper: L1 between un-swapped scenes and the frozen GAN's objects on their backgrounds."""
    distill_perceptual: float = 2.0
    """Not in the paper: perceptual version of `distill_l1`."""
    anchor: float = 0.02
    """Not in the paper: the mapping loss, in stage 2."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def total(self, terms: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of the means of all terms."""
        weighted = [getattr(self, name) * value.mean() for name, value in terms.items()]
        return sum(weighted, torch.zeros_like(weighted[0]))


DEFAULT_WEIGHTS = DisentangleWeights()


@dataclass(frozen=True)
class CycleResult:
    """Terms of stage 2, and the images' masks and textures: un-swapped scenes first, then their swapped copies.

    texture: predicted by f.
    """

    terms: dict[str, Tensor]
    masks: Float[Tensor, "scenes 1 height width"]
    texture: Float[Tensor, "scenes 3 tex tex"]


def style_distance(
    predicted: Float[Tensor, "batch styles"], target: Float[Tensor, "batch styles"]
) -> Float[Tensor, " batch"]:
    """||w~ - w*||_2 / sqrt(dimensions): root mean square, in the unit of the styles."""
    return ((predicted - target).square().mean(dim=1) + 1e-12).sqrt()


def shape_distance(
    vertices: Float[Tensor, "batch verts 3"], predicted: Float[Tensor, "batch verts 3"]
) -> Float[Tensor, " batch"]:
    """||S - S^||: mean distance of corresponding vertices in world units."""
    return ((vertices - predicted).square().sum(dim=2) + 1e-12).sqrt().mean(dim=1)


def view_distance(target: Cameras, predicted: Cameras) -> Float[Tensor, " batch"]:
    """Chord between two viewing directions: 0 if equal, 2 for front and rear.

    Close to the angle in radians. Its square has almost no gradient for elevation errors of a few degrees.
    """
    a, b = (cameras.position / cameras.distance[:, None] for cameras in (target, predicted))
    return ((a - b).square().sum(dim=1) + 1e-8).sqrt()


def mapping_terms(renderer: StyleGANR, scene: TrainingScene) -> dict[str, Tensor]:
    """Stage 1: `mapping` in standard deviations of the styles, and `entropy`."""
    return {"mapping": _standard_distance(renderer, scene), "entropy": renderer.fusion.entropy()}


def cycle_terms(
    renderer: StyleGANR,
    networks: FrozenNetworks,
    scene: TrainingScene,
    swapped: SwappedScenes,
    weights: DisentangleWeights,
    settings: DisentangleSettings,
) -> CycleResult:
    """Stage 2: renders scenes and swapped copies, and compares them with the frozen networks' predictions.

    Args:
        renderer: the trained network.
        networks: frozen; gradients pass through them to the images.
        scene: un-swapped scenes with the frozen GAN's images.
        swapped: one copy per scene.
        weights: selects the computed terms.
        settings: for the background removal.
    """
    scenes = scene.inputs.joined(swapped.scenes)
    images = renderer.framing.apply(renderer.render(scenes))
    masks = networks.segmenter.probability(images)
    predicted = networks.inverse(images)
    terms: dict[str, Tensor] = {
        "shape": shape_distance(scenes.vertices, predicted.vertices),
        "texture": (scenes.texture - predicted.texture).abs().mean(dim=(1, 2, 3)),
        "view": view_distance(scenes.cameras, predicted.camera),
    }
    if weights.background or weights.shared_background:
        terms |= _background_code_terms(renderer, scenes, images, masks, swapped.kept, settings)
    if weights.camera or weights.appearance:
        terms |= _silhouette_terms(networks, scenes, images, masks)
    if weights.background_pixels:
        background = torch.cat([scene.background, swapped.background])
        visible = torch.cat([scene.visible, swapped.visible]) * background_mask(masks)
        terms["background_pixels"] = color_loss(images, background, visible)
    own, target = images[: len(scene)], scene.composite() if weights.background_pixels else scene.images
    if weights.distill_l1:
        terms["distill_l1"] = (own - target).abs().mean(dim=(1, 2, 3))
    if weights.distill_perceptual and networks.perceptual is not None:
        terms["distill_perceptual"] = networks.perceptual(own, target)
    if weights.anchor:
        terms["anchor"] = _standard_distance(renderer, scene)
    if weights.entropy:
        terms["entropy"] = renderer.fusion.entropy()
    return CycleResult(terms, masks, predicted.texture)


def _standard_distance(renderer: StyleGANR, scene: TrainingScene) -> Float[Tensor, " batch"]:
    standardize = renderer.standardize
    return style_distance(standardize(renderer.styles(scene.inputs)), standardize(scene.styles))


def _background_code_terms(
    renderer: StyleGANR,
    scenes: Scenes,
    images: Float[Tensor, "scenes 3 height width"],
    masks: Float[Tensor, "scenes 1 height width"],
    kept: Bool[Tensor, " copies"],
    settings: DisentangleSettings,
) -> dict[str, Tensor]:
    """||g_b(B) - g_b(B^)|| and ||g_b(B1) - g_b(B2)||; see `StyleGANR.background_code`."""
    emptied = remove_object(images, masks, renderer.framing, fill=settings.fill_background)
    code = renderer.background_code(emptied)
    own, copy = code.chunk(2)
    return {
        "background": style_distance(renderer.background_code(scenes.background), code),
        # Every second copy has another camera. The others count twice, so that the mean covers them alone.
        "shared_background": 2 * style_distance(own, copy) * kept,
    }


def _silhouette_terms(
    networks: FrozenNetworks,
    scenes: Scenes,
    images: Float[Tensor, "scenes 3 height width"],
    masks: Float[Tensor, "scenes 1 height width"],
) -> dict[str, Tensor]:
    """Compares the DIB-R render of the scenes with the images."""
    mesh = networks.inverse.template.with_vertices(scenes.vertices)
    rendered = render(mesh, scenes.texture, scenes.cameras, size=images.shape[-1], silhouette=SHARP)
    inside = (rendered.face_index >= 0)[:, None] * masks.detach()
    return {
        "camera": silhouette_loss(rendered.alpha, masks),
        "appearance": color_loss(images, rendered.rgb, inside),
    }
