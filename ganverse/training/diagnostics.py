"""Monitors training: stops at a non-finite gradient, and warns of collapse."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import download
from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, angular_difference
from ganverse.geometry.meshes import Mesh, face_normals, face_vertices
from ganverse.training.progress import is_logged

log = logging.getLogger(__name__)

THIN = 1e-3
"""Faces below this share of the mesh's mean face area count as degenerate."""


class NaNGuard(pl.Callback):
    """Stops at a non-finite gradient; the last checkpoint precedes it.

    On the CPU such a gradient never reaches the weights. On a GPU it is checked one step later and before every
    checkpoint, so that the host does not wait in every step.

    Raises:
        GanverseError: names the first parameter with a non-finite gradient.
    """

    def __init__(self) -> None:
        self._look: Callable[[], None] | None = None

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Checks all gradients at once; float16's scaler skips such steps itself."""
        self._ask()
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not parameters or getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        norms = download(torch.stack(torch._foreach_norm([p.grad for p in parameters if p.grad is not None])))
        step = trainer.global_step

        def look() -> None:
            found = norms()
            if found.norm().isfinite():
                return
            names = {id(p): name for name, p in pl_module.named_parameters()}
            bad = [names.get(id(p), "?") for p, ok in zip(parameters, found.isfinite().tolist(), strict=True) if not ok]
            what = f"that of {bad[0]}" if bad else "their norm"
            raise GanverseError(
                f"expected finite gradients, got {what} at step {step}; resume from the last checkpoint, which "
                "precedes it, with a lower learning rate or --trainer.precision 32-true"
            )

        self._look = look
        if not parameters[0].is_cuda:
            self._ask()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Checks the last gradient before its weights are saved."""
        self._ask()

    def _ask(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look()


@dataclass(frozen=True)
class Alarm:
    """Bounds of a logged number, and what leaving them means."""

    metric: str
    low: float
    high: float
    meaning: str


ALARMS = (
    Alarm("iou/own_view", 0.1, 1.1, "shapes and masks barely overlap: collapsed masks, or the template is too small"),
    Alarm("masks/coverage", 0.02, 0.9, "masks collapsed: almost empty, or almost the whole image"),
    Alarm("texture/contrast", 0.02, 1.0, "textures collapsed to flat colors"),
    Alarm("texture/variety", 0.01, 1.0, "textures collapsed: all objects get the same one"),
    Alarm("mesh/thin_faces", -1.0, 0.05, "degenerate mesh: faces lose their area"),
    Alarm("mesh/volume", 0.0, 100.0, "a mesh is inside out"),
    Alarm("camera/azimuth_drift_degrees", -1.0, 60.0, "a camera drifts, or its annotation is wrong"),
    Alarm("camera/elevation_degrees", -30.0, 60.0, "the cameras drift below or above the object"),
    Alarm("camera/log_distance_spread", -1.0, 0.7, "the cameras' distances diverge"),
    Alarm("loss/move", -1.0, 1.0, "degenerate mesh: vertices move too far"),
    Alarm("loss/flatten", -1.0, 1.0, "degenerate mesh: neighboring faces fold"),
    Alarm("loss/discriminator", 0.01, 20.0, "one network dominates, and the fakes collapse"),
)


class Diagnostics(pl.Callback):
    """Warns once when a logged number leaves its bounds.

    Args:
        patience: steps before the first check.
    """

    def __init__(self, patience: int = 100) -> None:
        self._patience = patience
        self._warned: set[str] = set()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Checks the latest values whenever the trainer logs."""
        if trainer.is_global_zero and is_logged(trainer, batch_idx) and trainer.global_step >= self._patience:
            self._look(trainer)

    def _look(self, trainer: pl.Trainer) -> None:
        for alarm in ALARMS:
            if alarm.metric not in trainer.logged_metrics or alarm.metric in self._warned:
                continue
            value = float(trainer.logged_metrics[alarm.metric])
            if not alarm.low <= value <= alarm.high:
                self._warned.add(alarm.metric)
                log.warning("%s is %.3g: %s", alarm.metric, value, alarm.meaning)


@torch.no_grad()
def mask_diagnostics(masks: Float[Tensor, "images 1 height width"]) -> dict[str, Tensor]:
    """masks/coverage: foreground share of the images; 0 or 1 for collapsed masks."""
    return {"masks/coverage": masks.mean()}


@torch.no_grad()
def texture_diagnostics(textures: Float[Tensor, "objects 3 tex tex"]) -> dict[str, Tensor]:
    """Standard deviations of the colors, in [0, 0.5].

    texture/contrast: within each texture, 0 for a flat color. texture/variety: over the objects per texel, 0 if all are
    equal; absent for a single object.
    """
    values = {"texture/contrast": textures.flatten(2).std(dim=2, correction=0).mean()}
    if len(textures) > 1:
        values["texture/variety"] = textures.std(dim=0, correction=0).mean()
    return values


@torch.no_grad()
def mesh_diagnostics(mesh: Mesh) -> dict[str, Tensor]:
    """mesh/thin_faces: share of degenerate faces. mesh/volume: smallest signed volume, negative if inside out."""
    normals = face_normals(mesh.vertices, mesh.faces, unit=False)
    areas = normals.norm(dim=-1) / 2
    thin = areas < THIN * areas.mean(dim=1, keepdim=True).clamp_min(1e-12)
    corners = face_vertices(mesh.vertices, mesh.faces)[:, :, 0]
    volume = (corners * normals).sum(dim=(1, 2)) / 6
    return {"mesh/thin_faces": thin.float().mean(), "mesh/volume": volume.min()}


@torch.no_grad()
def camera_diagnostics(cameras: Cameras, annotated: Float[Tensor, " views"]) -> dict[str, Tensor]:
    """Spread of the camera table, and its azimuths' distance from the annotated ones (radians)."""
    drift = angular_difference(cameras.azimuth, annotated).abs().max()
    return {
        "camera/azimuth_drift_degrees": drift.rad2deg(),
        "camera/elevation_degrees": cameras.elevation.mean().rad2deg(),
        "camera/elevation_spread_degrees": cameras.elevation.std(correction=0).rad2deg(),
        "camera/log_distance_spread": cameras.distance.log().std(correction=0),
    }
