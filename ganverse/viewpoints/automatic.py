"""View codes of any category without annotation: `ganverse views --azimuths auto`.

Estimates azimuths from silhouettes and from the objects' appearance. Assumes mirror-symmetric objects that are longer
than wide and seen from slightly above.

1. Twice the azimuth, from second moments of the silhouettes. Seen from azimuth a, the variance in x is
   (wide^2 cos^2 a + long^2 sin^2 a): linear in cos 2a. Seen from above, the near end is lower in the image, so the
   silhouette is tilted: its mixed moment has the sign of sin 2a. This gives a up to half a turn, reflection resolved.
2. Which end, from the appearance. Images of equal 2a show either one end or the other, and their difference is an odd
   harmonic of a: mirror-symmetric parts vary with cos a, antisymmetric parts with sin a. Side views come first, where
   left and right facing objects differ most; the model then grows towards the ends.
3. Which end is the FRONT cannot be known from images. The front is the end that more codes show, unless a code that
   shows the front is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import AT_LEAST_1, FROM_2, check_ranges
from ganverse.generators.framing import framed
from ganverse.generators.protocol import ImageGenerator, style_slices
from ganverse.masks.masker import Masker, soft_iou
from ganverse.random_streams import latents
from ganverse.viewpoints.proposal import images_of_views, places_in_bins
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

_SIDE = 64
_BIN_DEGREES = 30.0
_CERTAIN = 0.7
"""Azimuths below this confidence are marked as uncertain."""
_SHARE = 0.8
"""Share of the total silhouette movement that the proposed layers must cover."""
_SEED = 31
_SIGNATURE_SIDE = 24
_COMPONENTS = 12
_RIDGE = 0.005
_FIRST_ARC, _GROWTH = 1.0, 0.15


@dataclass(frozen=True)
class AutomaticSettings:
    """How codes are found and ordered without annotations; see above for the assumptions."""

    layers: int | None = None
    """Number of first layers that a code replaces. Default: those that move the silhouette (`propose_layers`)."""
    pool: int = 360
    """Seeds 0 .. pool - 1 are tried. Fewer are faster, but put more codes at the wrong end."""
    objects: int = 8
    """Objects per seed."""
    codes: int = 24
    """Number of codes to keep: those that fit best, from all sides."""
    front: int | None = None
    """Seed of a code that shows the front, to correct a result that confused front and rear."""

    def __post_init__(self) -> None:
        check_ranges(self, layers=AT_LEAST_1, pool=(8, 1e5), objects=FROM_2)
        check_ranges(self, layers=AT_LEAST_1, codes=(2, self.pool), front=(0, self.pool - 1))


@dataclass(frozen=True)
class AzimuthEstimate:
    """Azimuths in degrees, [0, 360), and in [-1, 1] how well each code fits its assigned end."""

    azimuth_degrees: Float[Tensor, " codes"]
    confidence: Float[Tensor, " codes"]


@dataclass(frozen=True)
class AutomaticViews:
    """View codes by azimuth, with ambiguous ends listed in `uncertain`, and images of objects under each code."""

    codes: ViewCodes
    images: Float[Tensor, "codes objects 3 side side"]


def find_automatic_views(
    network: ImageGenerator,
    name: str,
    masker: Masker,
    settings: AutomaticSettings | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> AutomaticViews:
    """Finds view codes of a GAN and estimates their azimuths from silhouettes.

    Args:
        network: the generator; everything runs on its device.
        name: the generator's name in the file, usually the sha256 of its weights.
        masker: for the GAN's category.
        settings: None for the defaults.
        report: receives lines about the progress.

    Raises:
        GanverseError: more layers than the generator has.
    """
    settings = settings or AutomaticSettings()
    generator = framed(network, min(network.resolution, _SIDE))
    layers = settings.layers
    if layers is None:
        layers = propose_layers(layer_movements(generator, masker), report)
    dims = layer_dims(generator.style_sizes, layers)
    report(f"trying {settings.pool} codes of the first {layers} layers on {settings.objects} objects")
    images = images_of_views(generator, dims, range(settings.pool), settings.objects)
    masks = _silhouettes(masker, images.flatten(0, 1), device_of(generator)).unflatten(0, images.shape[:2])
    estimate = estimate_azimuths(images, masks, front=settings.front)
    chosen = choose_codes(estimate, settings.codes)
    codes = tuple(ViewCode(row, float(estimate.azimuth_degrees[row].round()) % 360) for row in chosen)
    uncertain = tuple(row for row in chosen if estimate.confidence[row] < _CERTAIN)
    return AutomaticViews(ViewCodes(name, dims, codes, uncertain=uncertain), images[chosen])


@torch.no_grad()
def layer_movements(generator: ImageGenerator, masker: Masker, *, pairs: int = 8) -> list[float]:
    """How far each layer moves the silhouette: 1 - IoU before and after, averaged over pairs of objects.

    Each layer alone takes another object's styles. Layers for pose and shape move the silhouette; later ones (color,
    texture, background) do not. The paper takes 4 of 16 layers for its cars, chosen by inspection.
    """
    device = device_of(generator)
    own, other = (
        generator.styles(generator.map(latents(_SEED, range(k, 2 * pairs, 2), generator.z_dim).to(device)))
        for k in (0, 1)
    )
    before = _silhouettes(masker, generator.synthesize(own), device)
    movements = []
    for where in style_slices(generator.style_sizes):
        changed = own.clone()
        changed[:, where] = other[:, where]
        after = _silhouettes(masker, generator.synthesize(changed), device)
        movements.append(float((1 - soft_iou(before, after)).mean()))
    return movements


def propose_layers(movements: Sequence[float], report: Callable[[str], None] = lambda line: None) -> int:
    """The smallest number of first layers that covers 80 % of the total movement."""
    total = max(sum(movements), 1e-9)
    shares = [reached / total for reached in accumulate(movements)]
    for layer, (movement, share) in enumerate(zip(movements, shares, strict=True), 1):
        report(f"layer {layer} moves the silhouette by {movement:.3f}, {share:.0%} of the total so far")
    return next((k for k, share in enumerate(shares, 1) if share >= _SHARE), len(movements))


def choose_codes(estimate: AzimuthEstimate, count: int) -> list[int]:
    """Rows of the codes to keep, by azimuth: the best of every 30-degree bin first, then the second best, ..."""
    bins = (estimate.azimuth_degrees / _BIN_DEGREES).round().long().remainder(round(360 / _BIN_DEGREES)).tolist()
    order: list[int] = estimate.confidence.argsort(descending=True, stable=True).tolist()
    place = places_in_bins(order, bins)
    kept = sorted(order, key=lambda row: (place[row], order.index(row)))[:count]
    return sorted(kept, key=lambda row: (float(estimate.azimuth_degrees[row]), row))


@torch.no_grad()
def _silhouettes(
    masker: Masker, images: Float[Tensor, "batch 3 side side"], device: torch.device
) -> Float[Tensor, "batch 1 side side"]:
    """On the CPU."""
    return torch.cat([masker(part.to(device)).foreground.cpu() for part in images.split(32)])


def estimate_azimuths(
    images: Float[Tensor, "codes objects 3 side side"],
    masks: Float[Tensor, "codes objects 1 side side"],
    *,
    front: int | None = None,
) -> AzimuthEstimate:
    """Azimuths of codes from the same few objects under each code.

    Args:
        images: in [0, 1], on the CPU.
        masks: of the objects, in [0, 1].
        front: row of a code that shows the front rather than the rear; None for rule 3 above.
    """
    doubled = doubled_azimuth(masks)
    azimuth, confidence = _choose_ends(doubled, inside_signature(images, masks))
    shows_front = azimuth.cos() > 0
    turned = not bool(shows_front[front]) if front is not None else float(shows_front.double().mean()) < 0.5
    degrees = (azimuth + (math.pi if turned else 0.0)).rad2deg().remainder(360)
    return AzimuthEstimate(degrees.float(), confidence.float())


def doubled_azimuth(masks: Float[Tensor, "codes objects 1 side side"]) -> Float[Tensor, " codes"]:
    """2a in [-pi, pi], from the variance in x and the tilt of the silhouettes (step 1)."""
    spread, tilt = silhouette_moments(masks)
    low, high = spread.quantile(0.04), spread.quantile(0.96)
    cosine = ((low + high) / 2 - spread) / ((high - low) / 2).clamp_min(1e-9)
    return torch.atan2(tilt / tilt.abs().quantile(0.9).clamp_min(1e-9), cosine)


def silhouette_moments(
    masks: Float[Tensor, "codes objects 1 side side"],
) -> tuple[Float[Tensor, " codes"], Float[Tensor, " codes"]]:
    """Mean over objects of the variance in x (NDC) and of the correlation of x and y (up), about the center of mass."""
    flat, x, y, _ = _centered_grids(masks.flatten(0, 1))
    weight = flat.sum(dim=(1, 2)).clamp_min(1e-6)
    xx, yy, xy = ((flat * term).sum(dim=(1, 2)) / weight for term in (x * x, y * y, x * y))
    shape = masks.shape[:2]
    tilt = xy / (xx * yy).sqrt().clamp_min(1e-9)
    return xx.view(shape).mean(dim=1), tilt.view(shape).mean(dim=1)


def inside_signature(
    images: Float[Tensor, "codes objects 3 side side"], masks: Float[Tensor, "codes objects 1 side side"]
) -> Float[Tensor, "codes small small"]:
    """Appearance of the objects under each code, as small gray images.

    Images are centered on the center of mass. The object's brightness and its mean over all codes are subtracted, then
    they are averaged over the objects.
    """
    gray, mask = images.mean(dim=2).flatten(0, 1)[:, None], masks.flatten(0, 1)
    flat, _, _, center = _centered_grids(mask)
    brightness = (gray * mask).sum(dim=(1, 2, 3)) / flat.sum(dim=(1, 2)).clamp_min(1e-6)
    inside = (gray - brightness[:, None, None, None]) * mask
    move = torch.zeros(len(inside), 2, 3)
    move[:, 0, 0] = move[:, 1, 1] = 1.0
    move[:, 0, 2], move[:, 1, 2] = center[:, 0], -center[:, 1]
    where = F.affine_grid(move, [len(inside), 1, _SIGNATURE_SIDE, _SIGNATURE_SIDE], align_corners=False)
    small = F.grid_sample(F.adaptive_avg_pool2d(inside, 32), where, align_corners=False)
    cells = small.view(*images.shape[:2], _SIGNATURE_SIDE, _SIGNATURE_SIDE)
    return (cells - cells.mean(dim=0)).mean(dim=1)


def _centered_grids(masks: Float[Tensor, "rows 1 side side"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masks without channel, x and y (up) of every pixel relative to the center of mass, and that center; NDC."""
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
    """Azimuths in radians with the end of every code assigned, and confidences (step 2)."""
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
            # the sign says whether a code shows `half` or the other end; the model predicts `half`
            new = torch.where(inside | start, _sign(score), 0.0)
            if torch.equal(new, end):
                break
            end = new
        reach += _GROWTH
    end = torch.where(end == 0, 1.0, end)
    return torch.where(end > 0, half, half + math.pi), _score(end, even, odd, cosine, sine).abs()


def _parts(signature: Tensor, doubled: Tensor) -> tuple[Tensor, Tensor]:
    """Leading components of the mirror-symmetric and antisymmetric parts, without what depends only on 2a."""
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
    """Cosine in [-1, 1] between a code's appearance and the prediction for `half` by codes with a known end."""
    known = end != 0
    signed = end[known, None]
    found = torch.cat([even, odd], dim=1)
    model = [term @ _fit(signed * term[known], part[known]) for term, part in ((cosine, even), (sine, odd))]
    return F.cosine_similarity(found, torch.cat(model, dim=1), dim=1)


def _sign(values: Tensor) -> Tensor:
    return torch.where(values < 0, -1.0, 1.0).to(values.dtype)
