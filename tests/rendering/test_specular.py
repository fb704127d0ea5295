import math

import pytest
import torch

from ganverse.rendering.specular import Specular, specular_radiance


def one_light(
    sharpness: float, roughness: float, *, reflectance: float = 1.0, axis: tuple = (0.0, 0.0, 1.0)
) -> Specular:
    return Specular(
        axis=torch.tensor([[axis]]),
        sharpness=torch.tensor([[sharpness]]),
        intensity=torch.ones(1, 1),
        reflectance=torch.tensor([reflectance]),
        roughness=torch.tensor([roughness]),
    )


def sphere_points(count: int) -> torch.Tensor:
    """Fibonacci's spiral: every point stands for 4 pi / count of the sphere."""
    i = torch.arange(count, dtype=torch.float64)
    z, angle = 1 - (2 * i + 1) / count, i * math.pi * (3 - 5**0.5)
    return torch.stack([(1 - z * z).sqrt() * angle.cos(), (1 - z * z).sqrt() * angle.sin(), z], dim=-1)


def looking(cosine: float) -> torch.Tensor:
    return torch.tensor([math.sqrt(1 - cosine**2), 0.0, cosine]).view(1, 1, 1, 3)


NORMAL = torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 1, 3)


@pytest.mark.parametrize("roughness", [0.1, 0.3, 0.6])
def test_a_mirror_under_an_even_sky_returns_the_sky(roughness: float) -> None:
    assert specular_radiance(one_light(1e-3, roughness), NORMAL, NORMAL).item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (-0.6, 0.0, 0.8), (0.5, 0.7, 0.5)])
def test_lobe_times_light_is_integrated_exactly(axis: tuple[float, float, float]) -> None:
    roughness, cosine = 0.5, 0.8
    light = one_light(12.0, roughness, axis=axis)
    found = specular_radiance(light, NORMAL, looking(cosine)).item()
    directions = sphere_points(200_000)
    mirrored = torch.tensor([-math.sqrt(1 - cosine**2), 0.0, cosine], dtype=torch.float64)
    unit = torch.nn.functional.normalize(light.axis[0, 0].double(), dim=0)
    alpha2 = roughness**4
    lobe = torch.exp((directions @ mirrored - 1) / (2 * cosine * alpha2)) / (math.pi * alpha2)
    gathered = (lobe * torch.exp(12 * (directions @ unit - 1))).mean().item() * 4 * math.pi
    k = (1 + roughness) ** 2 / 8
    assert found == pytest.approx(gathered * (cosine / (cosine * (1 - k) + k)) ** 2 / (4 * cosine), rel=1e-3)


def test_rims_mirror_more_than_fronts_do() -> None:
    sky = one_light(1e-3, 0.2, reflectance=0.04)
    front, rim = (specular_radiance(sky, NORMAL, looking(cosine)).item() for cosine in (1.0, 0.2))
    assert front == pytest.approx(0.04, rel=0.05)
    assert rim > 2.5 * front


def test_surfaces_seen_from_behind_and_background_stay_finite() -> None:
    normals = torch.stack([NORMAL[0, 0, 0], -NORMAL[0, 0, 0], torch.zeros(3)]).view(1, 1, 3, 3).requires_grad_()
    radiance = specular_radiance(one_light(1e4, 0.01), normals, NORMAL.expand(1, 1, 3, 3))
    radiance.sum().backward()
    assert radiance.isfinite().all()
    assert (radiance >= 0).all()
    assert normals.grad is not None
    assert normals.grad.isfinite().all()
