"""Images of cars: sun, ambient light, ground with a soft shadow, sky. No ray tracing; anti-aliased, deterministic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.geometry.cameras import FOVY_DEGREES, Cameras, pixel_rays, project
from ganverse.geometry.meshes import face_normals, face_vertices
from ganverse.rendering.backends import Backend
from ganverse.rendering.rasterization import draw
from ganverse.rendering.scene import Triangles
from ganverse.worlds.cars import HALF_LENGTH, Cars, hsv_to_rgb

_AMBIENT, _SUN = 0.62, 0.48


@dataclass(frozen=True)
class Surroundings:
    """Light and background of each scene, in the world frame, so that all views of a car share them.

    sun: unit direction towards the sun. ground, sky: RGB in [0, 1].
    """

    sun: Float[Tensor, "batch 3"]
    ground: Float[Tensor, "batch 3"]
    sky: Float[Tensor, "batch 3"]


def surroundings(content: Float[Tensor, "batch content"]) -> Surroundings:
    """Light and background from the last numbers of a car's content (16..22), each in [0, 1]."""
    azimuth, height = content[:, 16] * (2 * torch.pi), 0.75 + 0.2 * content[:, 17]
    flat = (1 - height**2).sqrt()
    sun = torch.stack([flat * azimuth.sin(), height, flat * azimuth.cos()], dim=-1)
    muted = 0.05 + 0.3 * content[:, 19] ** 2
    ground = hsv_to_rgb(torch.stack([0.05 + 0.3 * content[:, 18], muted, 0.34 + 0.3 * content[:, 20]], dim=-1))
    haze = 0.05 + 0.25 * content[:, 21]
    sky = hsv_to_rgb(torch.stack([0.56 + 0.06 * content[:, 22], haze, 0.80 + 0.16 * content[:, 20]], dim=-1))
    return Surroundings(sun, ground, sky)


def framing_distance(
    azimuth: Float[Tensor, " batch"], elevation: Float[Tensor, " batch"], *, fill: float = 0.88
) -> Float[Tensor, " batch"]:
    """Distance at which a car of average proportions fills the given share of the frame.

    Closed form for the eight corners of the average bounding box (0.355, 0.31, HALF_LENGTH); the largest distance wins.
    """
    signs = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    corners = signs * torch.tensor([0.34, 0.28, 0.96 * HALF_LENGTH])
    unit = Cameras(azimuth, elevation, torch.ones_like(azimuth), azimuth.new_zeros(len(azimuth), 2))
    in_camera = corners.to(azimuth) @ unit.rotation.transpose(1, 2)
    focal = 1 / torch.tensor(FOVY_DEGREES / 2).deg2rad().tan()
    return (in_camera[..., 2] + in_camera[..., :2].abs().amax(dim=-1) * focal / fill).amax(dim=-1)


def render_cars(
    cars: Cars,
    scene: Surroundings,
    cameras: Cameras,
    resolution: int,
    *,
    supersampling: int = 2,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch 1 height width"]]:
    """Images in [0, 1] and coverage masks, one per car and camera."""
    size = resolution * supersampling
    image, z = project(cameras, cars.vertices)
    corners = face_vertices(torch.cat([image, z[..., None]], dim=-1), cars.faces)
    colors = _shaded_colors(cars, scene)
    features = colors[:, :, None].expand(-1, -1, 3, -1)
    drawn = draw(Triangles(corners[..., :2], corners[..., 2], features), size, size, backend=backend)
    mask = (drawn.face_index >= 0).to(image.dtype)[..., None]
    picture = torch.where(mask > 0, drawn.features, _background(cars, scene, cameras, size))
    pooled = torch.nn.functional.avg_pool2d(torch.cat([picture, mask], -1).permute(0, 3, 1, 2), supersampling)
    return pooled[:, :3].clamp(0, 1), pooled[:, 3:]


def _shaded_colors(cars: Cars, scene: Surroundings) -> Float[Tensor, "batch faces 3"]:
    normals = face_normals(cars.vertices, cars.faces)
    sunlight = (normals * scene.sun[:, None]).sum(dim=-1).clamp_min(0)
    skylight = 0.85 + 0.15 * normals[..., 1]
    light = _AMBIENT * skylight + _SUN * sunlight
    base = cars.colors.gather(1, cars.material[..., None].expand(-1, -1, 3))
    return (base * light[..., None]).clamp(0, 1)


def _background(cars: Cars, scene: Surroundings, cameras: Cameras, size: int) -> Float[Tensor, "batch size size 3"]:
    rays = pixel_rays(cameras, size, size)
    down = rays[..., 1]
    ground_y = -cars.height[:, None, None] / 2
    eye = cameras.position[:, None, None]
    reach = (ground_y - eye[..., 1]) / down.clamp_max(-1e-3)
    spot = eye[..., [0, 2]] + reach[..., None] * rays[..., [0, 2]]
    shade = 1 - 0.62 * _shadow(spot, scene.sun)
    haze = (reach / 40).clamp(0, 1)[..., None]
    sky, ground = scene.sky[:, None, None], scene.ground[:, None, None]
    floor = (ground * shade[..., None]) * (1 - 0.35 * haze) + sky * 0.35 * haze
    heaven = sky + (1 - sky) * (1 - down.clamp(0, 0.35)[..., None] / 0.35) * 0.6
    horizon = torch.sigmoid(down * 80)[..., None]
    return floor * (1 - horizon) + heaven * horizon


def _shadow(spot: Float[Tensor, "batch h w 2"], sun: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch h w"]:
    """Soft rounded rectangle under the car, displaced away from the sun."""
    shift = -0.15 * sun[:, [0, 2]] / sun[:, 1:2]
    edge = (spot - shift[:, None, None]).abs() - spot.new_tensor([0.30, HALF_LENGTH - 0.08])
    outside = edge.clamp_min(0).norm(dim=-1) + edge.amax(dim=-1).clamp_max(0)
    return torch.sigmoid(-outside / 0.05)
