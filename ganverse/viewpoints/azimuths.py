"""Azimuths of view codes that nobody has annotated, from the silhouettes and the inside of the objects.

Assumes objects that are longer than wide, mirror images of themselves in x, and seen from slightly above.

1. Twice the azimuth, from second moments of the silhouettes. Seen from azimuth a the spread in x is
   (wide^2 cos^2 a + long^2 sin^2 a): linear in cos 2a. Seen from above, the near end lies lower in the picture, so the
   silhouette is tilted: its mixed moment has the sign of sin 2a. So a is known up to half a turn, reflection included.
2. Which end, from the inside. Images of equal 2a show either the one end or the other. What differs between them is
   an odd harmonic of a: mirror-symmetric parts of the images go with cos a, antisymmetric ones with sin a. Side views
   come first, where left and right facing objects differ most; the model then grows towards the ends.
3. Which end is the FRONT cannot be known from images at all. The rule: what more of the codes show, unless one code
   that shows the front is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_SIDE = 24
_COMPONENTS = 12
_RIDGE = 0.005
_FIRST_ARC, _GROWTH = 1.0, 0.15


@dataclass(frozen=True)
class AzimuthEstimate:
    """Azimuths in degrees, [0, 360), and in [-1, 1] how well each code fits the end that was chosen for it."""

    azimuth_degrees: Float[Tensor, " codes"]
    confidence: Float[Tensor, " codes"]


def estimate_azimuths(
    images: Float[Tensor, "codes objects 3 side side"],
    masks: Float[Tensor, "codes objects 1 side side"],
    *,
    front: int | None = None,
) -> AzimuthEstimate:
    """Azimuths of codes from the same few objects under each of them.

    Args:
        images: in [0, 1], on the CPU.
        masks: of the objects, in [0, 1].
        front: row of a code that shows the front rather than the rear; None for the rule above.
    """
    doubled = doubled_azimuth(masks)
    azimuth, confidence = _choose_ends(doubled, inside_signature(images, masks))
    shows_front = azimuth.cos() > 0
    turned = not bool(shows_front[front]) if front is not None else float(shows_front.double().mean()) < 0.5
    degrees = (azimuth + (math.pi if turned else 0.0)).rad2deg().remainder(360)
    return AzimuthEstimate(degrees.float(), confidence.float())


def doubled_azimuth(masks: Float[Tensor, "codes objects 1 side side"]) -> Float[Tensor, " codes"]:
    """2a in [-pi, pi], from the spread in x and the tilt of the silhouettes (step 1)."""
    spread, tilt = silhouette_moments(masks)
    low, high = spread.quantile(0.04), spread.quantile(0.96)
    cosine = ((low + high) / 2 - spread) / ((high - low) / 2).clamp_min(1e-9)
    return torch.atan2(tilt / tilt.abs().quantile(0.9).clamp_min(1e-9), cosine)


def silhouette_moments(
    masks: Float[Tensor, "codes objects 1 side side"],
) -> tuple[Float[Tensor, " codes"], Float[Tensor, " codes"]]:
    """Mean over objects of the variance in x (NDC) and of the correlation of x and y (up), round the center of mass."""
    flat, x, y, _ = _centered_grids(masks.flatten(0, 1))
    weight = flat.sum(dim=(1, 2)).clamp_min(1e-6)
    xx, yy, xy = ((flat * term).sum(dim=(1, 2)) / weight for term in (x * x, y * y, x * y))
    shape = masks.shape[:2]
    tilt = xy / (xx * yy).sqrt().clamp_min(1e-9)
    return xx.view(shape).mean(dim=1), tilt.view(shape).mean(dim=1)


def inside_signature(
    images: Float[Tensor, "codes objects 3 side side"], masks: Float[Tensor, "codes objects 1 side side"]
) -> Float[Tensor, "codes small small"]:
    """What the inside of the objects looks like under each code, as small gray images.

    They are moved to the center of mass, lose the object's own brightness and its mean over all codes, and are then
    averaged over the objects.
    """
    gray, mask = images.mean(dim=2).flatten(0, 1)[:, None], masks.flatten(0, 1)
    flat, _, _, center = _centered_grids(mask)
    brightness = (gray * mask).sum(dim=(1, 2, 3)) / flat.sum(dim=(1, 2)).clamp_min(1e-6)
    inside = (gray - brightness[:, None, None, None]) * mask
    move = torch.zeros(len(inside), 2, 3)
    move[:, 0, 0] = move[:, 1, 1] = 1.0
    move[:, 0, 2], move[:, 1, 2] = center[:, 0], -center[:, 1]
    where = F.affine_grid(move, [len(inside), 1, _SIDE, _SIDE], align_corners=False)
    small = F.grid_sample(F.adaptive_avg_pool2d(inside, 32), where, align_corners=False)
    cells = small.view(*images.shape[:2], _SIDE, _SIDE)
    return (cells - cells.mean(dim=0)).mean(dim=1)


def _centered_grids(masks: Float[Tensor, "rows 1 side side"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masks without their channel, x and y (up) of every pixel from the center of mass, and that center; NDC."""
    flat, side = masks[:, 0], masks.shape[3]
    axis = (2 * torch.arange(side) + 1 - side) / side
    weight = flat.sum(dim=(1, 2)).clamp_min(1e-6)
    center_x, center_y = (flat.sum(dim=1) * axis).sum(1) / weight, (flat.sum(dim=2) * -axis).sum(1) / weight
    x = axis[None, None, :] - center_x[:, None, None]
    y = -axis[None, :, None] - center_y[:, None, None]
    return flat, x, y, torch.stack([center_x, center_y], dim=1)


def _choose_ends(
    doubled: Float[Tensor, " codes"], signature: Float[Tensor, "codes small small"]
) -> tuple[Float[Tensor, " codes"], Float[Tensor, " codes"]]:
    """Azimuths in radians with the end of every code chosen, and confidences (step 2)."""
    doubled = doubled.double()
    half = doubled / 2
    even, odd = _parts(signature.double(), doubled)
    cosine, sine = half.cos()[:, None], half.sin()[:, None]
    from_side = math.pi - doubled.abs()
    end = torch.zeros_like(half)
    start = from_side < max(_FIRST_ARC, float(from_side.sort().values[min(3, len(half) - 1)]) + 1e-6)
    leading = torch.linalg.svd(odd[start] - odd[start].mean(dim=0), full_matrices=False)[0][:, 0]
    end[start] = _sign(leading * half[start].sin())
    reach = _FIRST_ARC
    while reach < math.pi + _GROWTH:
        inside = from_side <= reach
        for _ in range(20):
            score = _score(end, even, odd, cosine, sine)
            # a code's sign says whether it shows `half` or the other end; the model predicts `half`
            new = torch.where(inside | start, _sign(score), 0.0)
            if torch.equal(new, end):
                break
            end = new
        reach += _GROWTH
    end = torch.where(end == 0, 1.0, end)
    return torch.where(end > 0, half, half + math.pi), _score(end, even, odd, cosine, sine).abs()


def _parts(signature: Tensor, doubled: Tensor) -> tuple[Tensor, Tensor]:
    """Leading components of the mirror-symmetric and antisymmetric parts, without what depends on 2a alone."""
    mirrored = signature.flip(2)
    even, odd = ((signature + sign * mirrored).flatten(1) / 2 for sign in (1, -1))
    cosines = torch.stack([(k * doubled).cos() for k in (0, 1, 2)], dim=1)
    sines = torch.stack([(k * doubled).sin() for k in (1, 2)], dim=1)
    return _components(even - cosines @ _fit(cosines, even)), _components(odd - sines @ _fit(sines, odd))


def _components(values: Tensor) -> Tensor:
    left, singular, _ = torch.linalg.svd(values, full_matrices=False)
    return (left * singular)[:, :_COMPONENTS]


def _fit(basis: Tensor, values: Tensor) -> Tensor:
    penalty = _RIDGE * len(basis) * torch.eye(basis.shape[1], dtype=basis.dtype)
    return torch.linalg.solve(basis.T @ basis + penalty, basis.T @ values)


def _score(end: Tensor, even: Tensor, odd: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Cosine in [-1, 1] between what every code shows and what the codes with a known end predict for `half`."""
    known = end != 0
    signed = end[known, None]
    found = torch.cat([even, odd], dim=1)
    model = [term @ _fit(signed * term[known], part[known]) for term, part in ((cosine, even), (sine, odd))]
    return F.cosine_similarity(found, torch.cat(model, dim=1), dim=1)


def _sign(values: Tensor) -> Tensor:
    return torch.where(values < 0, -1.0, 1.0).to(values.dtype)
