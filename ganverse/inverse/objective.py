"""One step of stage 2 without the optimizer: reconstruct, render every pair of views, compare (Eq. 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.devices import upload
from ganverse.errors import SHARE, check_ranges
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.regularizers import flatten_loss, laplacian_loss, move_loss
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLosses, camera_loss, color_loss, silhouette_loss
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.random_streams import uniforms
from ganverse.rendering import SHARP, RenderResult, SoftMaskSettings, render
from ganverse.rendering.backends import Backend

SOFT = SoftMaskSettings(5000.0, 0.06)
"""Soft silhouette with a long reach, for the start of training."""


@dataclass(frozen=True)
class SilhouetteSchedule:
    """Sharpness of the soft silhouette during training: from soft to sharp, then constant."""

    start: SoftMaskSettings = SOFT
    """Renderer settings at the start."""
    end: SoftMaskSettings = SHARP
    """Renderer settings at the end."""
    fraction: float = 0.6
    """Share of all images at which `end` is reached. `sigmainv` changes geometrically, `boxlen` linearly."""

    def __post_init__(self) -> None:
        check_ranges(self, fraction=SHARE)

    def at(self, images_seen: int, total_images: int) -> SoftMaskSettings:
        """Settings after `images_seen` of `total_images`."""
        progress = min(images_seen / max(self.fraction * total_images, 1.0), 1.0)
        sigmainv = self.start.sigmainv ** (1 - progress) * self.end.sigmainv**progress
        boxlen = self.start.boxlen + (self.end.boxlen - self.start.boxlen) * progress
        return SoftMaskSettings(sigmainv, boxlen, self.end.knum)


@dataclass(frozen=True)
class PerceptualPlan:
    """The renders of a step that the perceptual distance compares; all would cost more than the rest of the step.

    distance: the frozen network. renders: number of renders per step, spread evenly over the objects and drawn anew in
    each step from `seed`. samples: global sample numbers, on the CPU. An object's renders depend only on its own
    number, so the choice does not depend on how objects are split over processes.
    """

    distance: PerceptualDistance
    renders: int
    seed: int
    samples: Int[Tensor, " batch"]

    def indices(self, available: int) -> Int[Tensor, " chosen"]:
        """Ascending row indices of the chosen renders, out of `available` in object order."""
        objects, total = len(self.samples), min(self.renders, available)
        # Object k gets the integers between k and k + 1 shares.
        shares = (torch.arange(objects + 1) * total // objects).diff()
        ranks = uniforms(self.seed, self.samples, available // objects).argsort(dim=1).argsort(dim=1)
        return (ranks >= shares[:, None]).flatten().to(torch.uint8).argsort(stable=True)[:total]


@dataclass(frozen=True)
class StepResult:
    """Losses and their inputs; renders and targets in the order (object, predicted from, seen as)."""

    losses: InverseLosses
    reconstruction: Reconstruction
    renders: RenderResult
    targets: Float[Tensor, "pairs 3 height width"]
    target_masks: Float[Tensor, "pairs 1 height width"]


def inverse_step(
    network: InverseGraphicsNetwork,
    table: CameraTable,
    images: Float[Tensor, "batch views 3 height width"],
    masks: Float[Tensor, "batch views 1 height width"],
    view_ids: Int[Tensor, "batch views"],
    *,
    placement: Float[Tensor, "batch views 4"] | None = None,
    silhouette: SoftMaskSettings = SHARP,
    perceptual: PerceptualPlan | None = None,
    backend: Backend = "auto",
) -> StepResult:
    """Reconstructs from every view, renders each reconstruction from all views of its object, and compares.

    images in [0, 1]; masks in [0, 1]; view_ids index the camera table; placement: see `MultiViewBatch`.
    """
    batch, views, _, height, width = images.shape
    reconstruction = network(images.flatten(0, 1))
    cameras = table(view_ids.flatten())
    if placement is not None:
        cameras = cameras.placed(placement.flatten(0, 1))
    pair_cameras = _each_view_from_each(cameras, batch, views)
    repeated = reconstruction.repeat_interleave(views)
    renders = render(
        network.mesh(repeated),
        repeated.texture,
        pair_cameras,
        repeated.light,
        (height, width),
        silhouette=silhouette,
        backend=backend,
    )
    targets = images[:, None].expand(-1, views, -1, -1, -1, -1).flatten(0, 2)
    target_masks = masks[:, None].expand(-1, views, -1, -1, -1, -1).flatten(0, 2)
    faces, adjacency = network.faces, network.adjacency
    losses = InverseLosses(
        color=color_loss(renders.rgb, targets, target_masks).view(batch, views, views),
        silhouette=silhouette_loss(renders.alpha, target_masks).view(batch, views, views),
        perceptual=_perceptual(renders.rgb, targets, target_masks, perceptual),
        flatten=flatten_loss(reconstruction.vertices, faces, adjacency).mean(dim=1).view(batch, views),
        laplacian=laplacian_loss(reconstruction.displacement, adjacency).mean(dim=1).view(batch, views),
        move=move_loss(reconstruction.displacement).mean(dim=1).view(batch, views),
        camera=camera_loss(reconstruction.camera, cameras).view(batch, views),
    )
    return StepResult(losses, reconstruction, renders, targets, target_masks)


def _each_view_from_each(cameras: Cameras, batch: int, views: int) -> Cameras:
    """Assigns the camera of view j to row (object, i, j)."""
    rows = torch.arange(batch * views, device=cameras.azimuth.device).view(batch, 1, views)
    return cameras[rows.expand(-1, views, -1).flatten()]


def _perceptual(
    rgb: Float[Tensor, "pairs 3 height width"],
    targets: Float[Tensor, "pairs 3 height width"],
    masks: Float[Tensor, "pairs 1 height width"],
    plan: PerceptualPlan | None,
) -> Float[Tensor, ""]:
    """L_percept over the planned renders; both images are black outside the given mask."""
    if plan is None:
        return rgb.new_zeros(())
    chosen = upload(plan.indices(len(rgb)), rgb.device)
    mask = masks[chosen]
    return plan.distance(rgb[chosen] * mask, targets[chosen] * mask).mean()
