"""Parametric cars: six body types with one fixed topology, so that any batch of cars is one mesh batch.

A car is a hull and a cabin (bent lattice boxes), four wheels and two mirrors. Every part is closed; the car is their
union. All cars have the same length (half-length `HALF_LENGTH`) and are centered at the origin: photographers frame
cars alike, and a GAN should use its coarse layers for the pose, not the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.worlds.solids import LatticeBox, Wheel

HALF_LENGTH = 0.9
CONTENT_DIMS = 24
"""Number of values in [0, 1] that describe a car and its surroundings."""

BODY_TYPES = ("sedan", "hatchback", "suv", "van", "pickup", "coupe")


class Material(IntEnum):
    """Material of a face."""

    PAINT = 0
    LOWER = 1
    STRIPE = 2
    GLASS = 3
    TRIM = 4
    TYRE = 5
    HUB = 6
    FRONT_LAMP = 7
    REAR_LAMP = 8
    PLATE = 9
    BED = 10


# Per body type: total height / length, bonnet height and tail height (of the total height), then along the
# half-length, rear to front: cabin at the belt line and at the roof.
_PROPORTIONS = torch.tensor(
    [
        # height bonnet tail  belt rear/front  roof rear/front
        [0.315, 0.58, 0.66, -0.70, 0.40, -0.40, 0.06],
        [0.350, 0.58, 0.64, -0.96, 0.44, -0.70, 0.10],
        [0.375, 0.60, 0.66, -0.97, 0.42, -0.86, 0.14],
        [0.390, 0.58, 0.64, -0.98, 0.66, -0.94, 0.34],
        [0.345, 0.62, 0.62, -0.16, 0.46, -0.10, 0.14],
        [0.290, 0.58, 0.68, -0.80, 0.28, -0.34, -0.06],
    ]
)
_HULL_X = torch.tensor([-1.0, -0.58, -0.22, 0.0, 0.22, 0.58, 1.0])
_HULL_Y = torch.tensor([0.0, 0.28, 0.55, 0.85, 1.0])
_HULL_Z = torch.tensor([-1.0, -0.90, -0.62, -0.30, 0.0, 0.30, 0.62, 0.88, 1.0])
_HULL_LEVEL_WIDTH = torch.tensor([0.90, 1.0, 1.0, 0.97, 0.86])
_HULL_STATION_WIDTH = torch.tensor([0.90, 0.95, 0.99, 1.0, 1.0, 1.0, 0.98, 0.92, 0.82])
_CABIN_X = torch.tensor([-1.0, -0.86, -0.22, 0.0, 0.22, 0.86, 1.0])
_CABIN_Y = torch.tensor([0.0, 0.16, 0.84, 1.0])
_CABIN_Z = torch.tensor([0.0, 0.07, 0.33, 0.38, 0.64, 0.69, 0.93, 1.0])
_WHEEL_SCALE = 0.134


@dataclass(frozen=True)
class Cars:
    """A batch of cars.

    vertices: world frame (+z forward, +y up), bounding box centered at the origin. faces: shared. material: per face.
    colors: RGB in [0, 1] per material. body_type: index into BODY_TYPES. height: world units.
    """

    vertices: Float[Tensor, "batch verts 3"]
    faces: Int[Tensor, "faces 3"]
    material: Int[Tensor, "batch faces"]
    colors: Float[Tensor, "batch materials 3"]
    body_type: Int[Tensor, " batch"]
    height: Float[Tensor, " batch"]

    @property
    def body_color(self) -> Float[Tensor, "batch 3"]:
        """RGB of the paint."""
        return self.colors[:, Material.PAINT]


@cache
def _parts() -> tuple[LatticeBox, LatticeBox, Wheel, LatticeBox]:
    hull = LatticeBox.build(len(_HULL_X) - 1, len(_HULL_Y) - 1, len(_HULL_Z) - 1)
    cabin = LatticeBox.build(len(_CABIN_X) - 1, len(_CABIN_Y) - 1, len(_CABIN_Z) - 1)
    return hull, cabin, Wheel.build(), LatticeBox.build(1, 1, 1)


def build_cars(content: Float[Tensor, "batch content"]) -> Cars:
    """Cars from CONTENT_DIMS numbers in [0, 1] each; a pure function.

    content[:, 0] body type; 1..6 proportions; 7..15 paint, two-tone and stripes; the rest belongs to the scene.
    """
    body_type = (content[:, 0] * len(BODY_TYPES)).long().clamp(0, len(BODY_TYPES) - 1)
    shape = _shape(content, body_type)
    hull, cabin, wheel, mirror = _parts()
    pieces = [
        (_hull_vertices(hull, shape), hull.faces),
        (_cabin_vertices(cabin, shape), cabin.faces),
        *_wheels(wheel, shape),
        *_mirrors(mirror, shape),
    ]
    offsets = torch.tensor([0] + [v.shape[1] for v, _ in pieces]).cumsum(0)
    faces = torch.cat([f + int(o) for (_, f), o in zip(pieces, offsets, strict=False)])
    vertices = torch.cat([v for v, _ in pieces], dim=1)
    vertices = vertices - shape.height[:, None, None] * torch.tensor([0.0, 0.5, 0.0])
    return Cars(vertices, faces, _materials(content, body_type), _colors(content), body_type, shape.height)


@dataclass(frozen=True)
class _Shape:
    """World-unit proportions, all [batch]; y counts from the ground."""

    height: Tensor
    half_width: Tensor
    floor: Tensor
    bonnet: Tensor
    tail: Tensor
    belt: tuple[Tensor, Tensor]
    roof: tuple[Tensor, Tensor]
    wheel: Tensor


def _shape(content: Tensor, body_type: Tensor) -> _Shape:
    jitter = (content[:, 1:7] - 0.5) * 2
    height, bonnet, tail, belt0, belt1, roof0, roof1 = _PROPORTIONS[body_type].unbind(dim=1)
    height = 2 * HALF_LENGTH * height * (1 + 0.05 * jitter[:, 0])
    shift = 0.03 * jitter[:, 1]
    wheel = _WHEEL_SCALE * (1 + 0.08 * jitter[:, 2])
    return _Shape(
        height=height,
        half_width=0.355 * (1 + 0.05 * jitter[:, 3]),
        floor=0.45 * wheel * (1 + 0.2 * jitter[:, 4]),
        bonnet=height * (bonnet + 0.03 * jitter[:, 5]),
        tail=height * (tail + 0.02 * jitter[:, 5]),
        belt=(HALF_LENGTH * belt0, HALF_LENGTH * (belt1 + shift)),
        roof=(HALF_LENGTH * roof0, HALF_LENGTH * (roof1 + shift)),
        wheel=wheel,
    )


def _hull_vertices(box: LatticeBox, shape: _Shape) -> Tensor:
    i, j, k = box.lattice.unbind(dim=1)
    x, level, z = _HULL_X[i], _HULL_Y[j], _HULL_Z[k]
    # The deck descends from tail to nose; both ends taper below and above the bumper line.
    ahead = (z + 1) / 2
    deck = shape.tail[:, None] + (shape.bonnet - shape.tail)[:, None] * ahead
    deck = deck - shape.height[:, None] * (0.14 * ((z - 0.45).clamp_min(0) / 0.55) ** 2 + 0.05 * (z < -0.95))
    floor = shape.floor[:, None] + shape.height[:, None] * 0.05 * (z.abs() > 0.95)
    y = floor + (deck - floor) * level
    half_width = shape.half_width[:, None] * _HULL_LEVEL_WIDTH[j] * _HULL_STATION_WIDTH[k]
    rounding = (z.abs() > 0.95) * (0.10 * x**2 + 0.05 * (level - 0.4).clamp_min(0))
    along = HALF_LENGTH * (z - z.sign() * rounding)
    return torch.stack([x * half_width, y, along.expand_as(y)], dim=-1)


def _cabin_vertices(box: LatticeBox, shape: _Shape) -> Tensor:
    i, j, k = box.lattice.unbind(dim=1)
    x, level, s = _CABIN_X[i], _CABIN_Y[j], _CABIN_Z[k]
    base = torch.minimum(shape.bonnet, shape.tail)[:, None] - 0.06 * shape.height[:, None]
    # Roofs are slightly arched along both axes.
    arch = 1 - 0.05 * (2 * s - 1) ** 2 - 0.03 * x**2
    y = base + (shape.height[:, None] * arch - base) * level
    low = shape.belt[0][:, None] + (shape.belt[1] - shape.belt[0])[:, None] * s
    high = shape.roof[0][:, None] + (shape.roof[1] - shape.roof[0])[:, None] * s
    narrowing = 0.95 - 0.19 * level
    bow = 0.05 * x**2 * (2 * s - 1)
    return torch.stack([shape.half_width[:, None] * x * narrowing, y, low + (high - low) * level - bow], dim=-1)


def _wheels(wheel: Wheel, shape: _Shape) -> list[tuple[Tensor, Tensor]]:
    pieces = []
    radius, width = shape.wheel[:, None], 0.11
    for side in (1.0, -1.0):
        for axle in (0.60, -0.58):
            x = side * (shape.half_width[:, None] + 0.012 + width * (wheel.vertices[:, 0] - 1))
            y = radius * (1 + wheel.vertices[:, 1])
            z = axle * HALF_LENGTH + radius * wheel.vertices[:, 2]
            faces = wheel.faces if side > 0 else wheel.faces.flip(1)
            pieces.append((torch.stack([x, y, z], dim=-1), faces))
    return pieces


def _mirrors(box: LatticeBox, shape: _Shape) -> list[tuple[Tensor, Tensor]]:
    corner = box.lattice.float() - 0.5
    pieces = []
    for side in (1.0, -1.0):
        x = side * (shape.half_width[:, None] * 0.98 + 0.03) + 0.07 * corner[:, 0]
        y = shape.bonnet[:, None] + 0.045 + 0.05 * corner[:, 1]
        z = shape.belt[1][:, None] - 0.14 + 0.03 * corner[:, 2]
        pieces.append((torch.stack([x, y, z], dim=-1), box.faces))
    return pieces


def _materials(content: Tensor, body_type: Tensor) -> Tensor:
    hull, cabin, wheel, mirror = _parts()
    is_type = {name: body_type == index for index, name in enumerate(BODY_TYPES)}
    striped = (content[:, 14] > 0.72) & ~is_type["van"]
    parts = [
        _hull_materials(hull, striped, is_type["pickup"]),
        _cabin_materials(cabin, striped, is_type["van"], is_type["coupe"]),
    ]
    wheels = torch.where(wheel.hub == 1, int(Material.HUB), int(Material.TYRE))
    mirrors = torch.full_like(mirror.side, int(Material.PAINT))
    fixed = torch.cat([wheels.repeat(4), mirrors.repeat(2)])
    return torch.cat([*parts, fixed.expand(len(content), -1)], dim=1)


def _hull_materials(box: LatticeBox, striped: Tensor, pickup: Tensor) -> Tensor:
    i, j, k = box.cell.unbind(dim=1)
    last = len(_HULL_Z) - 2
    outer = (i == 0) | (i == len(_HULL_X) - 2)
    top, rear, front, flank = box.side == 3, box.side == 4, box.side == 5, box.side <= 1
    material = torch.full_like(box.side, int(Material.PAINT))
    material[flank & (j <= 1)] = Material.LOWER
    material[(box.side == 2) | ((front | rear) & (j == 0)) | (flank & (j == 0))] = Material.TRIM
    material[front & ~outer & (j == 2)] = Material.TRIM
    material[(front | rear) & ~outer & (j == 1) & ((i == 2) | (i == 3))] = Material.PLATE
    material[front & (j == 2) & outer] = Material.FRONT_LAMP
    material[flank & (j == 2) & (k == last)] = Material.FRONT_LAMP
    material[rear & (j >= 2) & outer] = Material.REAR_LAMP
    material[flank & (j >= 2) & (k == 0)] = Material.REAR_LAMP
    material = material.repeat(len(striped), 1)
    stripe = (top | (rear & (j >= 2))) & ((i == 2) | (i == 3))
    material[striped[:, None] & stripe] = Material.STRIPE
    material[pickup[:, None] & top & ~outer & (k >= 1) & (k <= 2)] = Material.BED
    return material


def _cabin_materials(box: LatticeBox, striped: Tensor, van: Tensor, coupe: Tensor) -> Tensor:
    i, j, k = box.cell.unbind(dim=1)
    window = j == 1
    outer = (i == 0) | (i == len(_CABIN_X) - 2)
    material = torch.full_like(box.side, int(Material.PAINT))
    material[(box.side <= 1) & window & (k % 2 == 1)] = Material.GLASS
    material[(box.side >= 4) & window & ~outer] = Material.GLASS
    material = material.repeat(len(striped), 1)
    stripe = (box.side == 3) & ((i == 2) | (i == 3))
    material[striped[:, None] & stripe] = Material.STRIPE
    rear_window = (box.side <= 1) & window & (k == 1)
    material[(van | coupe)[:, None] & rear_window] = Material.PAINT
    return material


def _colors(content: Tensor) -> Tensor:
    """RGB of every material. Two thirds of the paints are colored, the others white, gray or black."""
    hue, tone, chroma, shade = content[:, 7], content[:, 8], content[:, 9], content[:, 10]
    value = 0.50 + 0.45 * shade
    colored = hsv_to_rgb(torch.stack([hue, 0.65 + 0.3 * chroma, value], dim=-1))
    gray = (0.12 + 0.82 * shade)[:, None].expand(-1, 3)
    paint = torch.where(tone[:, None] < 0.67, colored, gray)
    two_tone = content[:, 11] > 0.7
    lower = torch.where(two_tone[:, None], paint * 0.35 + 0.08, paint)
    stripe = torch.where((paint.mean(dim=1) > 0.55)[:, None], torch.tensor([0.08, 0.08, 0.12]), torch.tensor(0.93))
    table = torch.zeros(len(content), len(Material), 3)
    fixed = {
        Material.GLASS: (0.13, 0.15, 0.19),
        Material.TRIM: (0.10, 0.10, 0.11),
        Material.TYRE: (0.06, 0.06, 0.07),
        Material.HUB: (0.66, 0.67, 0.70),
        Material.FRONT_LAMP: (1.0, 0.98, 0.86),
        Material.REAR_LAMP: (0.85, 0.04, 0.05),
        Material.PLATE: (0.86, 0.86, 0.82),
        Material.BED: (0.11, 0.11, 0.12),
    }
    for material, color in fixed.items():
        table[:, material] = torch.tensor(color)
    table[:, Material.PAINT], table[:, Material.LOWER], table[:, Material.STRIPE] = paint, lower, stripe
    return table


def hsv_to_rgb(hsv: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Hue, saturation, value to RGB, all in [0, 1]."""
    hue, saturation, value = hsv.unbind(dim=-1)
    offsets = torch.tensor([5.0, 3.0, 1.0], device=hsv.device)
    k = (offsets + hue[..., None] * 6) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)
