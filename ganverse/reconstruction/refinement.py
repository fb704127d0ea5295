"""Test-time refinement: corrects the network's prediction by the photo's silhouette and colors, through the renderer.

Optimizes vertex offsets (smoothed, and mirrored for symmetric categories, like the network's), camera and texture of
one object for a few dozen steps. The network stays unchanged. Losses are those of training (Eq. 1) without the
perceptual term. Regularizers act on the offsets, so that nothing moves where the photo shows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import SHARE, check_ranges
from ganverse.geometry.cameras import Cameras, concatenate
from ganverse.geometry.regularizers import flatten_loss, laplacian_loss, move_loss
from ganverse.inverse.losses import DEFAULT_WEIGHTS, color_loss, silhouette_iou, silhouette_loss
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.objective import SilhouetteSchedule
from ganverse.reconstruction.photos import FoundObject
from ganverse.reconstruction.texture import predict
from ganverse.rendering import SHARP, RenderResult, SoftMaskSettings, render

# Weight of the predicted azimuths relative to silhouette IoU and color error: silhouettes of half turns are alike. On
# 60 renders of the car world, results are equal from 0.2 to 1.
_EVIDENCE = 0.5
_SHARPENING = SilhouetteSchedule(SoftMaskSettings(7000.0, 0.05), fraction=1.0)
# Adam's: vertices in world units, texture in [0, 1], camera in radians (and log distance, NDC).
_SHAPE_RATE, _TEXTURE_RATE, _CAMERA_RATE = 0.01, 0.02, 0.02
# One photo shows little of the shape, so displacements cost far more than training's 2.5.
_WEIGHTS = replace(DEFAULT_WEIGHTS, move=200.0)


@dataclass(frozen=True)
class RefinementSettings:
    """Strength of the refinement."""

    steps: int = 30
    """Adam steps on camera, vertices and texture."""
    camera_share: float = 0.4
    """Share of the steps, at the start, that move only the camera, so that the shape does not compensate for it."""
    hypothesis_steps: int = 0
    """Steps for each of several initial cameras, of which the best is kept (`best_hypothesis`); 0 uses the predicted
    one."""
    size: int = 128
    """Size in pixels of the compared square."""

    def __post_init__(self) -> None:
        check_ranges(self, camera_share=SHARE, size=(24, 4096))


def refine(
    network: InverseGraphicsNetwork,
    predicted: Reconstruction,
    picture: Float[Tensor, "batch 3 size size"],
    mask: Float[Tensor, "batch 1 size size"],
    settings: RefinementSettings = RefinementSettings(),
) -> Reconstruction:
    """Fits predictions of `network` (vertices, texture, camera) to their images; the light stays.

    picture, mask: in [0, 1], the network's input, usually at a higher resolution.
    """
    shape, texture = (torch.zeros_like(x, requires_grad=True) for x in (predicted.vertices, predicted.texture))
    camera = predicted.texture.new_zeros(len(picture), 5).requires_grad_()
    rates = ((shape, _SHAPE_RATE), (texture, _TEXTURE_RATE), (camera, _CAMERA_RATE))
    optimizer = torch.optim.Adam([{"params": [x], "lr": rate} for x, rate in rates])
    adjacency = network.adjacency
    for step in range(settings.steps):
        shape.requires_grad_(step >= settings.camera_share * settings.steps)
        texture.requires_grad_(shape.requires_grad)
        refined = _corrected(network, predicted, shape, texture, camera)
        drawn = view(network, refined, picture.shape[-1], _SHARPENING.at(step, settings.steps))
        offsets = refined.vertices - predicted.vertices
        loss = (
            _WEIGHTS.color * color_loss(drawn.rgb, picture, mask)
            + _WEIGHTS.silhouette * silhouette_loss(drawn.alpha, mask)
            + _WEIGHTS.flatten * flatten_loss(refined.vertices, network.template.faces, adjacency).mean(dim=1)
            + _WEIGHTS.laplacian * laplacian_loss(offsets, adjacency).mean(dim=1)
            + _WEIGHTS.move * move_loss(offsets).mean(dim=1)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        return _corrected(network, predicted, shape, texture, camera)


def _corrected(
    network: InverseGraphicsNetwork, start: Reconstruction, shape: Tensor, texture: Tensor, camera: Tensor
) -> Reconstruction:
    """`start` with corrections; camera: azimuth, elevation, log distance and offset."""
    offsets = network.smooth @ shape
    if network.config.symmetric:
        offsets, texture = (offsets + offsets[:, network.pairs] * network.mirror) / 2, (texture + texture.flip(2)) / 2
    azimuth, elevation, log_distance = camera[:, :3].unbind(dim=1)
    return replace(
        start,
        displacement=start.displacement + offsets,
        vertices=start.vertices + offsets,
        texture=(start.texture + texture).clamp(0, 1),
        camera=Cameras(
            start.camera.azimuth + azimuth,
            (start.camera.elevation + elevation).clamp(-1.4, 1.4),
            start.camera.distance * log_distance.exp(),
            start.camera.offset + camera[:, 3:],
        ),
    )


def best_hypothesis(
    network: InverseGraphicsNetwork, found: FoundObject, settings: RefinementSettings
) -> Reconstruction:
    """The prediction under the camera hypothesis that explains a photo best.

    Hypotheses are the cameras predicted from the photo and from the photo with a dimmed background, those predicted
    from their mirror images (for symmetric categories), and all of these turned by 180 degrees. Each is optimized for
    `settings.hypothesis_steps` steps. The score is the silhouette IoU minus the color error inside it, plus the
    agreement of its azimuth with all predictions, weighted by their certainty.
    """
    image, mask = found.picture(network.config.resolution), found.mask(network.config.resolution)
    with torch.no_grad():
        images = torch.cat([image, torch.lerp(torch.full_like(image, 0.5), image, 0.5 + 0.5 * mask)])
        cameras, evidence = network(images).camera, network.azimuth_evidence(images)
        if network.config.symmetric:
            mirrored, sign = network(images.flip(3)).camera, evidence.new_tensor([-1.0, 1.0])
            cameras = concatenate(
                [cameras, mirrored.placed(evidence.new_tensor([[-1.0, 1.0, 0.0, 0.0]]).expand(len(images), 4))]
            )
            evidence = torch.cat([evidence, network.azimuth_evidence(images.flip(3)) * sign])
    cameras = concatenate([cameras, replace(cameras, azimuth=cameras.azimuth + math.pi)])
    start, count, size = predict(network, found, cameras), len(cameras), settings.size
    picture, mask = (x.expand(count, -1, -1, -1) for x in (found.picture(size), found.mask(size)))
    only_camera = replace(settings, steps=settings.hypothesis_steps, camera_share=1.0)
    moved = refine(network, start, picture, mask, only_camera)
    with torch.no_grad():
        drawn = view(network, moved, size)
        covered, azimuth = (drawn.face_index >= 0)[:, None].to(mask), moved.camera.azimuth
        agreement = torch.stack([azimuth.sin(), azimuth.cos()], dim=1) @ evidence.mean(dim=0)
        score = silhouette_iou(covered, (mask > 0.5).to(mask)) - color_loss(drawn.rgb, picture, covered * mask)
        best = (score + _EVIDENCE * agreement).argmax(dim=0, keepdim=True)
        return predict(network, found, moved.camera[best])


@torch.no_grad()
def silhouette_agreement(
    network: InverseGraphicsNetwork, reconstruction: Reconstruction, mask: Float[Tensor, "batch 1 size size"]
) -> Float[Tensor, " batch"]:
    """IoU of the mask and the re-render's coverage, both thresholded at one half."""
    covered = (view(network, reconstruction, mask.shape[-1]).face_index >= 0)[:, None].to(mask)
    return silhouette_iou(covered, (mask > 0.5).to(mask))


def view(
    network: InverseGraphicsNetwork, reconstruction: Reconstruction, size: int, silhouette: SoftMaskSettings = SHARP
) -> RenderResult:
    """Renders the reconstruction from its own camera."""
    texture, camera, light = reconstruction.texture, reconstruction.camera, reconstruction.light
    return render(network.mesh(reconstruction), texture, camera, light, size, silhouette=silhouette)
