"""Healthy numbers stay within the alarms' bounds, collapsed ones do not."""

from __future__ import annotations

from dataclasses import replace

import torch

from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.weights import load_inverse
from ganverse.pretrained import SHIPPED
from ganverse.training.diagnostics import ALARMS
from ganverse.training.vitals import camera_vitals, mask_vitals, mesh_vitals, texture_vitals
from ganverse.worlds.generator import CarWorldGenerator, world_samples


def raised(vitals: dict[str, torch.Tensor]) -> set[str]:
    """The metrics that an alarm would report."""
    bounds = {alarm.metric: (alarm.low, alarm.high) for alarm in ALARMS}
    assert set(vitals) <= set(bounds), "every number has an alarm"
    return {name for name, value in vitals.items() if not bounds[name][0] <= float(value) <= bounds[name][1]}


def test_the_shipped_network_is_healthy() -> None:
    model = load_inverse(SHIPPED / "twin-car.safetensors")
    _, images, _ = world_samples(1, torch.arange(6), CarWorldGenerator(64))
    with torch.no_grad():
        seen = model.network(images)
    assert raised(mesh_vitals(model.network.mesh(seen)) | texture_vitals(seen.texture)) == set()


def test_collapses() -> None:
    assert raised(mask_vitals(torch.zeros(3, 1, 8, 8))) == raised(mask_vitals(torch.ones(3, 1, 8, 8)))
    assert raised(mask_vitals(torch.zeros(3, 1, 8, 8))) == {"masks/coverage"}
    pattern = torch.rand(1, 3, 8, 8)
    assert raised(texture_vitals(pattern.expand(4, -1, -1, -1))) == {"texture/variety"}
    assert raised(texture_vitals(torch.rand(4, 3, 1, 1).expand(-1, -1, 8, 8))) == {"texture/contrast"}
    assert set(texture_vitals(pattern)) == {"texture/contrast"}


def test_degenerate_meshes() -> None:
    sphere = sphere_template(2)
    volume = float(mesh_vitals(sphere)["mesh/volume"])
    assert 0.9 < volume / (4 / 3 * torch.pi) < 1
    assert raised(mesh_vitals(sphere)) == set()
    assert raised(mesh_vitals(replace(sphere, vertices=-sphere.vertices))) == {"mesh/volume"}
    half = sphere.vertices.clone()
    half[half[..., 0] > 0] = torch.tensor([0.1, 0.0, 0.0])
    assert raised(mesh_vitals(replace(sphere, vertices=half))) == {"mesh/thin_faces"}


def test_drifting_cameras() -> None:
    annotated = torch.tensor([0.0, 170.0])
    cameras = Cameras.from_degrees(torch.tensor([10.0, -170.0]), torch.zeros(2), torch.ones(2))
    drift = camera_vitals(cameras, annotated.deg2rad())
    assert abs(float(drift["camera/azimuth_drift_degrees"]) - 20) < 1e-3
    assert raised(drift) == set()
    assert raised(camera_vitals(cameras, torch.tensor([80.0, 170.0]).deg2rad())) == {"camera/azimuth_drift_degrees"}
