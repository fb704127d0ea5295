"""Content directions: coordinates of w* that stay with the object although a view code replaces their layers.

A view code that replaces whole layers turns objects best, but also imposes its own height and type. One that replaces
single correlated dimensions (the paper) mixes both. A few coordinates c = read^T w* that follow the content and not the
viewpoint separate them: w* + write (c' - c) sets new values while everything uncorrelated stays. A view code replaces
the whole layers, then the object gets its own c back. Linear discriminants find the coordinates that depend most on
shape and color and least on the viewpoint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from ganverse.devices import device_of
from ganverse.errors import AT_LEAST_1, GanverseError, brief, check_ranges
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.io import pack_tensors, write_atomically
from ganverse.pretrained import read_pinned
from ganverse.random_streams import latents
from ganverse.viewpoints.pose_regressor import PoseReading, PoseRegressor
from ganverse.viewpoints.view_codes import ViewCodes, layer_dims

_SEED, _BATCH = 3, 32
_RIDGE = 1e-3
"""Principal components below this share of the largest variance are dropped."""


@dataclass(frozen=True)
class ContentDirections:
    """read: coordinates are read^T w*, with unit variance. write: how w* moves with them; read^T write = 1."""

    read: Float[Tensor, "styles directions"]
    write: Float[Tensor, "styles directions"]

    def around(self, generator: ImageGenerator) -> SubspaceGenerator:
        """The generator with these coordinates as its first style dimensions, frozen, on the generator's device."""
        device = device_of(generator)
        wrapped = SubspaceGenerator(generator, self.read.to(device), self.write.to(device))
        return wrapped.eval().requires_grad_(False)


@dataclass(frozen=True)
class StyleAnalysis:
    """How the directions are selected."""

    layers: int = 3
    """Number of first layers searched (the paper's 4 of 16)."""
    samples: int = 4000
    """Random images whose pose, shape and color are predicted."""
    directions: int = 2
    """Number of directions that stay with the object."""
    view_weight: float = 4.0
    """Weight of the viewpoint relative to shape and color in the selection."""

    def __post_init__(self) -> None:
        check_ranges(self, layers=AT_LEAST_1, samples=(2, 1e7), directions=AT_LEAST_1)


def find_content_directions(
    generator: ImageGenerator, regressor: PoseRegressor, settings: StyleAnalysis
) -> ContentDirections:
    """The `directions` of the first `layers` layers that stay with the object; deterministic."""
    styles, poses = predict_random_poses(generator, regressor, settings.samples)
    searched = len(layer_dims(generator.style_sizes, settings.layers))
    found = fit_content_directions(
        styles[:, :searched],
        torch.cat(poses.aspects, dim=1),
        view_targets(poses),
        settings.directions,
        view_weight=settings.view_weight,
    )
    padding = styles.new_zeros(styles.shape[1] - searched, settings.directions)
    return ContentDirections(torch.cat([found.read, padding]), torch.cat([found.write, padding]))


@torch.no_grad()
def predict_random_poses(
    generator: ImageGenerator, regressor: PoseRegressor, samples: int
) -> tuple[Float[Tensor, "samples styles"], PoseReading]:
    """w* of random samples and the predicted poses of their images, on the CPU."""
    z = latents(_SEED, range(samples), generator.z_dim).to(device_of(generator))
    styles = torch.cat([generator.styles(generator.map(part)) for part in z.split(_BATCH)])
    readings = [regressor(generator.synthesize(part)) for part in styles.split(_BATCH)]
    fields = ("azimuth", "elevation", "height", "body_type", "color")
    return styles.cpu(), PoseReading(*(torch.cat([getattr(r, name) for r in readings]).cpu() for name in fields))


def view_targets(poses: PoseReading) -> Float[Tensor, "samples 4"]:
    """Cosine and sine of azimuth and elevation, since linear regression cannot follow an angle's wrap-around."""
    return torch.stack([f(angle) for angle in (poses.azimuth, poses.elevation) for f in (torch.cos, torch.sin)], dim=1)


def fit_content_directions(
    styles: Float[Tensor, "samples styles"],
    content: Float[Tensor, "samples descriptors"],
    view: Float[Tensor, "samples targets"],
    count: int,
    *,
    view_weight: float = 4.0,
) -> ContentDirections:
    """The `count` directions of w* that explain most of the content descriptors and least of the view targets.

    With whitened styles y (unit covariance) they are the leading eigenvectors of R_c - view_weight * R_v, where q^T R q
    is the R2 of regressing q^T y on the descriptors or view targets. `write` is the covariance of w* with the
    coordinates (the smallest change in the Mahalanobis sense).

    Raises:
        GanverseError: too few styles or samples for `count` directions.
    """
    samples, total = styles.shape
    if not 1 <= count <= min(total, samples // 4):
        raise GanverseError(f"expected between 1 and {min(total, samples // 4)} content directions, got {count}")
    x = _centered(styles)
    covariance = x.T @ x / samples
    variance, axes = torch.linalg.eigh(covariance)
    strong = variance > _RIDGE * variance.amax()
    whiten = axes[:, strong] / variance[strong].sqrt()
    y = x @ whiten
    score = _explained(y, content) - view_weight * _explained(y, view)
    read = whiten @ torch.linalg.eigh(score)[1].flip(1)[:, :count]
    return ContentDirections(read.to(styles), (covariance @ read).to(styles))


def _explained(y: Float[Tensor, "samples axes"], predictors: Float[Tensor, "samples predictors"]) -> Tensor:
    """Matrix R with q^T R q = R2 of q^T y on the predictors, for whitened y and unit q."""
    fitted = y.T @ _basis(predictors)
    return fitted @ fitted.T / len(y)


def _basis(predictors: Float[Tensor, "samples predictors"]) -> Float[Tensor, "samples rank"]:
    """Orthonormal columns that span the centered predictors."""
    left, singular, _ = torch.linalg.svd(_centered(predictors), full_matrices=False)
    return left[:, singular > 1e-9 * singular.amax().clamp_min(1e-300)]


def _centered(values: Tensor) -> Tensor:
    return (values - values.mean(dim=0)).double()


def directions_path(codes_path: Path) -> Path:
    """Path of the content directions that belong to a view-code file."""
    return codes_path.with_suffix(".safetensors")


def save_directions(path: Path, directions: ContentDirections) -> str:
    """Writes a .safetensors file; returns its sha256."""
    data = pack_tensors({"read": directions.read, "write": directions.write}, half=False)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def open_views(codes_path: Path, generator: ImageGenerator) -> tuple[ImageGenerator, ViewCodes]:
    """The view codes, and `generator` (in a `SubspaceGenerator` if the codes need content directions).

    Raises:
        GanverseError: a file is missing or damaged, or does not match the generator.
    """
    codes = ViewCodes.load(codes_path)
    if codes.directions is not None:
        directions = _load_directions(directions_path(codes_path), codes.directions)
        if len(directions.read) != sum(generator.style_sizes):
            raise GanverseError(
                f"expected content directions of {sum(generator.style_sizes)} styles, the generator's, got "
                f"{len(directions.read)} beside {codes_path}; find this generator's views with `ganverse views`"
            )
        generator = directions.around(generator)
    codes.check(generator)
    return generator, codes


def _load_directions(path: Path, sha256: str) -> ContentDirections:
    try:
        tensors = load_tensors(read_pinned(path, sha256))
        return ContentDirections(tensors["read"], tensors["write"])
    except (GanverseError, SafetensorError, KeyError) as error:
        raise GanverseError(
            f"expected the content directions of the view codes beside it in {path}, but {brief(error)}; keep both "
            "files together"
        ) from error
