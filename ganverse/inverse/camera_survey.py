"""Cameras that settled in the wrong place, found and moved: every view's camera against other hypotheses.

Gradients turn a camera by some degrees, not round the object, and not through the plane of symmetry: a view that starts
near 0 or 180 degrees and slips to the wrong side ends in its mirror image and stays there; a wrong bin stays wrong. So
now and then the pictures of every view are compared with renders from other azimuths, and the camera jumps to one that
surely explains them better. Beyond the paper, whose bins were all right.

Sure is a matter of many pictures, not of a large gain: the other end of a car explains a picture of it almost as well
(most of the loss is paint and blur that no camera mends), but it does so picture after picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLossWeights, color_loss, silhouette_loss
from ganverse.inverse.network import InverseGraphicsNetwork, Reconstruction
from ganverse.rendering.backends import Backend
from ganverse.rendering.render import Silhouette, render


@dataclass(frozen=True)
class SurveyPlan:
    """When cameras are compared with other hypotheses.

    at: shares of all images at which a survey begins; empty = never. after: images before which none does, whatever the
    share: a network that knows nothing yet takes front for rear. pictures_per_view: how many a survey looks at, on
    average. turns: azimuths all round. certainty: a camera moves only where the mean fall of its pictures' losses is
    more than so many of its standard errors.
    """

    at: tuple[float, ...] = (0.12, 0.22, 0.34, 0.5, 0.65)
    after: int = 4000
    pictures_per_view: int = 24
    turns: int = 12
    certainty: float = 3.0


def hypotheses(cameras: Cameras, turns: int) -> Cameras:
    """The camera itself, its mirror image in the plane x = 0, and its turns about +y; all hypotheses of camera 0 first.

    Turned cameras lose their offset, which was fitted where they were.
    """
    ones = torch.ones_like(cameras.azimuth)
    steps = 2 * math.pi / turns * torch.arange(1, turns, device=ones.device)
    azimuth = torch.cat([torch.stack([cameras.azimuth, -cameras.azimuth], 1), cameras.azimuth[:, None] + steps], dim=1)
    mirrored = cameras.offset * cameras.offset.new_tensor([-1.0, 1.0])
    turned = torch.zeros_like(mirrored)[:, None].expand(-1, turns - 1, -1)
    offset = torch.cat([torch.stack([cameras.offset, mirrored], dim=1), turned], dim=1)
    count = azimuth.shape[1]
    return Cameras(
        azimuth.flatten(),
        cameras.elevation.repeat_interleave(count),
        cameras.distance.repeat_interleave(count),
        offset.flatten(0, 1),
    )


class CameraSurvey(nn.Module):
    """How far hypotheses lower the loss of every view's pictures, summed over batches.

    Part of the checkpoint, so that a resumed run agrees. views: of the camera table.
    """

    falls: Float[Tensor, "views hypotheses"]
    squares: Float[Tensor, "views hypotheses"]
    seen: Float[Tensor, " views"]
    finished: Int[Tensor, ""]

    def __init__(self, views: int, plan: SurveyPlan = SurveyPlan()) -> None:
        super().__init__()
        self.plan = plan
        self.register_buffer("falls", torch.zeros(views, 1 + plan.turns))
        self.register_buffer("squares", torch.zeros(views, 1 + plan.turns))
        self.register_buffer("seen", torch.zeros(views))
        self.register_buffer("finished", torch.zeros((), dtype=torch.long))

    def due(self, seen: int, images: int) -> bool:
        """Whether a survey is under way after `seen` of `images` images."""
        finished = int(self.finished)
        return seen >= self.plan.after and finished < len(self.plan.at) and seen >= self.plan.at[finished] * images

    @property
    def complete(self) -> bool:
        """Whether enough pictures were seen to decide."""
        return float(self.seen.sum()) >= self.plan.pictures_per_view * len(self.seen)

    def add(self, view_ids: Int[Tensor, " pictures"], losses: Float[Tensor, "pictures hypotheses"]) -> None:
        """Add the pictures of one batch (of all processes)."""
        falls = losses[:, :1] - losses
        self.falls.index_add_(0, view_ids, falls)
        self.squares.index_add_(0, view_ids, falls.square())
        self.seen.index_add_(0, view_ids, torch.ones_like(losses[:, 0]))

    @torch.no_grad()
    def decide(self, table: CameraTable) -> Bool[Tensor, " views"]:
        """Move cameras to surely better hypotheses, and begin anew; which views moved."""
        best = self.falls.argmax(dim=1)
        views = torch.arange(len(best), device=best.device)
        moved = self._certainty()[views, best] > self.plan.certainty
        chosen = hypotheses(table.all(), self.plan.turns)[views * self.falls.shape[1] + best]
        # The short way round: a running average of the weights passes between the old place and the new one.
        table.azimuth[moved] += angular_difference(chosen.azimuth, table.azimuth)[moved]
        table.offset[moved] = chosen.offset[moved]
        for sums in (self.falls, self.squares, self.seen):
            sums.zero_()
        self.finished += 1
        return moved

    def _certainty(self) -> Float[Tensor, "views hypotheses"]:
        """Mean fall of the loss in units of its standard error; 0 for the camera as it is."""
        count = self.seen[:, None].clamp_min(1)
        mean = self.falls / count
        variance = (self.squares / count - mean.square()).clamp_min(0) / (count - 1).clamp_min(1)
        return mean / variance.sqrt().clamp_min(1e-9)


@torch.no_grad()
def hypothesis_losses(
    network: InverseGraphicsNetwork,
    reconstruction: Reconstruction,
    cameras: Cameras,
    images: Float[Tensor, "batch views 3 height width"],
    masks: Float[Tensor, "batch views 1 height width"],
    *,
    weights: InverseLossWeights,
    silhouette: Silhouette,
    turns: int,
    backend: Backend = "auto",
) -> Float[Tensor, "pictures hypotheses"]:
    """Color and silhouette loss of every picture under every hypothesis about its camera.

    What is rendered is the reconstruction from the object's NEXT view, which never saw the picture.
    reconstruction, cameras: of every picture, in the order (object, view).
    """
    batch, views, _, height, width = images.shape
    pictures = torch.arange(batch * views, device=images.device)
    other = pictures.view(batch, views).roll(-1, dims=1).repeat_interleave(1 + turns)
    shown = pictures.repeat_interleave(1 + turns)
    vertices, texture = reconstruction.vertices[other], reconstruction.texture[other]
    light = None if reconstruction.light is None else reconstruction.light[other]
    drawn = render(
        network.template.with_vertices(vertices),
        texture,
        hypotheses(cameras, turns),
        light,
        (height, width),
        silhouette=silhouette,
        backend=backend,
    )
    target, mask = images.flatten(0, 1)[shown], masks.flatten(0, 1)[shown]
    loss = weights.color * color_loss(drawn.rgb, target, mask) + weights.silhouette * silhouette_loss(drawn.alpha, mask)
    return loss.view(len(pictures), -1)
