"""What stops a training, what only warns; healthy numbers stay within the alarms' bounds, collapsed ones do not."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.weights import load_inverse
from ganverse.pretrained import SHIPPED
from ganverse.training import diagnostics
from ganverse.training.cli import memory_explained
from ganverse.training.diagnostics import (
    ALARMS,
    Alarm,
    Diagnostics,
    NaNGuard,
    camera_diagnostics,
    mask_diagnostics,
    mesh_diagnostics,
    texture_diagnostics,
)
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.tasks.toys import trainer
from tests.training.lines import BATCH, Line, Numbers


class Exploding(Line):
    """From the third batch on the loss, or only the gradient of the weight, is not finite."""

    def __init__(self, *, gradient_only: bool, **how: bool) -> None:
        super().__init__(**how)
        self.gradient_only = gradient_only
        self.slope.weight.register_hook(self._poisoned)

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor | None:
        bad = self.images_seen >= 2 * BATCH and not self.gradient_only
        return super().training_step(batch * float("nan") if bad else batch, batch_index)

    def _poisoned(self, gradient: Tensor) -> Tensor:
        return gradient + float("inf") if self.gradient_only and self.images_seen > 2 * BATCH else gradient


@pytest.mark.parametrize("two_optimizers", [False, True])
@pytest.mark.parametrize("gradient_only", [False, True])
def test_what_is_not_finite_stops_before_it_does_harm(
    tmp_path: Path, gradient_only: bool, two_optimizers: bool
) -> None:
    module = Exploding(gradient_only=gradient_only, two_optimizers=two_optimizers)
    with pytest.raises(GanverseError, match=r"finite gradients, got that of slope\.weight at step"):
        trainer(tmp_path, max_steps=100, limit_val_batches=0, callbacks=[NaNGuard()]).fit(module, Numbers())
    assert module.images_seen == 3 * BATCH
    assert all(p.isfinite().all() for p in module.parameters())


def test_finite_gradients_of_a_huge_norm_are_named_too(tmp_path: Path) -> None:
    class Huge(Line):
        def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
            return 1e30 * self.slope.weight.sum() + 1e30 * self.slope.bias.sum()

    with pytest.raises(GanverseError, match="finite gradients, got their norm"):
        trainer(tmp_path, max_steps=1, limit_val_batches=0, callbacks=[NaNGuard()]).fit(Huge(), Numbers())


def test_a_number_out_of_bounds_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "ALARMS", (Alarm("loss", 1e6, 1e7, "it learns too well"),))
    with caplog.at_level(logging.WARNING, "ganverse"):
        for patience in (100, 3):
            watch = Diagnostics(patience)
            settings = {"max_steps": 6, "limit_val_batches": 0, "log_every_n_steps": 1, "callbacks": [watch]}
            trainer(tmp_path, **settings).fit(Line(), Numbers())
    said = [record.message for record in caplog.records if record.name.startswith("ganverse")]
    assert [message.split(": ")[1] for message in said] == ["it learns too well"]
    assert all(alarm.low < alarm.high for alarm in ALARMS)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("... can't allocate memory: ...")],
)
def test_a_full_memory_says_what_to_lower(error: Exception) -> None:
    with pytest.raises(GanverseError, match=r"lower --data\.batch_size"), memory_explained():
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="other"), memory_explained():
        raise RuntimeError("other")


def raised(values: dict[str, Tensor]) -> set[str]:
    """The metrics that an alarm would report."""
    bounds = {alarm.metric: (alarm.low, alarm.high) for alarm in ALARMS}
    watched = {name: float(value) for name, value in values.items() if name in bounds}
    return {name for name, value in watched.items() if not bounds[name][0] <= value <= bounds[name][1]}


def test_the_shipped_network_is_healthy() -> None:
    model = load_inverse(SHIPPED / "oracle-car.safetensors")
    _, images, _ = world_samples(1, torch.arange(6), CarWorldGenerator(64))
    with torch.no_grad():
        seen = model.network(images)
    assert raised(mesh_diagnostics(model.network.mesh(seen)) | texture_diagnostics(seen.texture)) == set()


def test_collapses() -> None:
    assert raised(mask_diagnostics(torch.zeros(3, 1, 8, 8))) == {"masks/coverage"}
    assert raised(mask_diagnostics(torch.ones(3, 1, 8, 8))) == {"masks/coverage"}
    pattern = torch.rand(1, 3, 8, 8)
    assert raised(texture_diagnostics(pattern.expand(4, -1, -1, -1))) == {"texture/variety"}
    assert raised(texture_diagnostics(torch.rand(4, 3, 1, 1).expand(-1, -1, 8, 8))) == {"texture/contrast"}
    assert set(texture_diagnostics(pattern)) == {"texture/contrast"}


def test_degenerate_meshes() -> None:
    sphere = sphere_template(2)
    volume = float(mesh_diagnostics(sphere)["mesh/volume"])
    assert 0.9 < volume / (4 / 3 * torch.pi) < 1
    assert raised(mesh_diagnostics(sphere)) == set()
    assert raised(mesh_diagnostics(replace(sphere, vertices=-sphere.vertices))) == {"mesh/volume"}
    half = sphere.vertices.clone()
    half[half[..., 0] > 0] = torch.tensor([0.1, 0.0, 0.0])
    assert raised(mesh_diagnostics(replace(sphere, vertices=half))) == {"mesh/thin_faces"}


def test_drifting_cameras() -> None:
    annotated = torch.tensor([0.0, 170.0])
    cameras = Cameras.from_degrees(torch.tensor([10.0, -170.0]), torch.zeros(2), torch.ones(2))
    drift = camera_diagnostics(cameras, annotated.deg2rad())
    assert abs(float(drift["camera/azimuth_drift_degrees"]) - 20) < 1e-3
    assert raised(drift) == set()
    far = camera_diagnostics(cameras, torch.tensor([80.0, 170.0]).deg2rad())
    assert raised(far) == {"camera/azimuth_drift_degrees"}
