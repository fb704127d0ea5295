"""Test-time refinement: a photo's own silhouette and colors, through the renderer, correct what the network saw.

A few dozen steps on one object: offsets of the vertices (smoothed, and mirrored where the category is symmetric, as the
network's own), the camera, and the texture. The network itself stays as it is. Losses as in training (eq. 1) without
the perceptual one; the regularizers act on the offsets, so that nothing pulls where the photo says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.regularity import Adjacency, flatten_loss, laplacian_loss, move_loss
from ganverse.inverse.losses import color_loss, silhouette_iou, silhouette_loss
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.objective import SilhouetteSchedule
from ganverse.rendering.render import SHARP, RenderResult, Silhouette, render

_SHARPENING = SilhouetteSchedule(Silhouette(7000.0, 0.05), fraction=1.0)


@dataclass(frozen=True)
class RefinementSettings:
    """How far a photo may move what the network saw.

    steps: of Adam; during the first `camera_share` of them only the camera moves, so that no shape is bent to make up
    for it. size: pixels a side of the square that is compared. shape_rate, camera_rate, texture_rate: Adam's, in world
    units, radians (and log distance, NDC) and color. color, silhouette, flatten, laplacian, move: weights, those of
    training but for `move`: one picture says little of what it does not show. rim: of the silhouette, over the steps.
    """

    steps: int = 30
    camera_share: float = 0.4
    size: int = 128
    shape_rate: float = 0.01
    camera_rate: float = 0.02
    texture_rate: float = 0.02
    color: float = 20.0
    silhouette: float = 3.0
    flatten: float = 5.0
    laplacian: float = 5.0
    move: float = 200.0
    rim: SilhouetteSchedule = _SHARPENING

    def __post_init__(self) -> None:
        if self.steps < 0 or self.size < 16:
            raise GanverseError(
                f"expected 0 steps of refinement or more at 16 pixels or more, got {self.steps} at {self.size}"
            )


def refine(
    network: InverseGraphicsNetwork,
    seen: Reconstruction,
    picture: Float[Tensor, "batch 3 size size"],
    mask: Float[Tensor, "batch 1 size size"],
    settings: RefinementSettings = RefinementSettings(),
) -> Reconstruction:
    """What `network` has seen in pictures, closer to them: vertices, texture and camera; the light stays.

    picture, mask: in [0, 1], the square that the network saw, usually at more pixels.
    """
    correction = _Correction(network, seen)
    adjacency = Adjacency.build(network.template.faces).to(picture.device)
    optimizer = torch.optim.Adam(correction.groups(settings))
    for step in range(settings.steps):
        correction.free(shape=step >= settings.camera_share * settings.steps)
        refined = correction.applied()
        drawn = view(network, refined, picture.shape[-1], settings.rim.at(step, settings.steps))
        offsets = refined.vertices - seen.vertices
        loss = (
            settings.color * color_loss(drawn.rgb, picture, mask)
            + settings.silhouette * silhouette_loss(drawn.alpha, mask)
            + settings.flatten * flatten_loss(refined.vertices, network.template.faces, adjacency).mean(dim=1)
            + settings.laplacian * laplacian_loss(offsets, adjacency).mean(dim=1)
            + settings.move * move_loss(offsets).mean(dim=1)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        return correction.applied()


@torch.no_grad()
def silhouette_agreement(
    network: InverseGraphicsNetwork, seen: Reconstruction, mask: Float[Tensor, "batch 1 size size"]
) -> Float[Tensor, " batch"]:
    """IoU of the mask with the covered pixels of the re-render, both cut at one half."""
    covered = (view(network, seen, mask.shape[-1]).face_index >= 0)[:, None].to(mask)
    return silhouette_iou(covered, (mask > 0.5).to(mask))


def view(
    network: InverseGraphicsNetwork, seen: Reconstruction, size: int, silhouette: Silhouette = SHARP
) -> RenderResult:
    """The reconstruction from its own camera."""
    return render(network.mesh(seen), seen.texture, seen.camera, seen.light, size, silhouette=silhouette)


class _Correction:
    """What is learned for one batch of photos; everything starts at zero."""

    def __init__(self, network: InverseGraphicsNetwork, seen: Reconstruction) -> None:
        self._network, self._seen = network, seen
        self._shape = torch.zeros_like(seen.vertices, requires_grad=True)
        self._texture = torch.zeros_like(seen.texture, requires_grad=True)
        self._camera = seen.texture.new_zeros(len(seen.texture), 5).requires_grad_()

    def groups(self, settings: RefinementSettings) -> list[dict[str, object]]:
        """Adam's parameter groups."""
        return [
            {"params": [self._shape], "lr": settings.shape_rate},
            {"params": [self._texture], "lr": settings.texture_rate},
            {"params": [self._camera], "lr": settings.camera_rate},
        ]

    def free(self, *, shape: bool) -> None:
        """Whether vertices and texture are learned, or the camera alone."""
        self._shape.requires_grad_(shape)
        self._texture.requires_grad_(shape)

    def applied(self) -> Reconstruction:
        """The reconstruction with the corrections as they stand."""
        network, seen = self._network, self._seen
        offsets, texture = network.smooth @ self._shape, self._texture
        if network.config.symmetric:
            mirrored = offsets[:, network.pairs] * offsets.new_tensor([-1.0, 1.0, 1.0])
            offsets, texture = (offsets + mirrored) / 2, (texture + texture.flip(2)) / 2
        return replace(
            seen,
            displacement=seen.displacement + offsets,
            vertices=seen.vertices + offsets,
            texture=(seen.texture + texture).clamp(0, 1),
            camera=self._moved(seen.camera),
        )

    def _moved(self, camera: Cameras) -> Cameras:
        azimuth, elevation, log_distance, x, y = self._camera.unbind(dim=1)
        return Cameras(
            camera.azimuth + azimuth,
            (camera.elevation + elevation).clamp(-1.4, 1.4),
            camera.distance * log_distance.exp(),
            camera.offset + torch.stack([x, y], dim=-1),
        )
