"""Which DIRECTIONS of the first layers belong to the object, though the layers as a whole carry the viewpoint.

A view code that replaces whole layers turns objects best, but gives them its own height and type, too; one that
replaces single correlated dimensions (the paper, `correlation`) mixes both. Linear discriminants separate them: a few
coordinates c = read^T w* follow the content as closely as a linear map can and the viewpoint as little, and
w* + write (c' - c) gives them new values while everything uncorrelated with them stays. A view code replaces the whole
layers, then the object gets its own c back.
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

from ganverse.errors import GanverseError
from ganverse.io import pack_tensors, write_atomically


@dataclass(frozen=True)
class ContentDirections:
    """read: coordinates are read^T w*, of unit variance. write: how w* moves with them; read^T write = 1."""

    read: Float[Tensor, "styles directions"]
    write: Float[Tensor, "styles directions"]


def save_directions(path: Path, directions: ContentDirections) -> str:
    """Writes a .safetensors file; returns its sha256."""
    data = pack_tensors({"read": directions.read, "write": directions.write}, half=False)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_directions(path: Path, sha256: str) -> ContentDirections:
    """The directions in `path`.

    Raises:
        GanverseError: the file is missing, or not the one with this sha256.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GanverseError(f"expected content directions at {path}, but they cannot be read ({error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise GanverseError(
            f"expected {path} with sha256 {sha256[:12]}... as the view codes beside it say, got {found[:12]}...; "
            "keep both files together"
        )
    try:
        tensors = load_tensors(data)
        return ContentDirections(tensors["read"], tensors["write"])
    except (SafetensorError, KeyError) as error:
        raise GanverseError(f"expected content directions in {path}, got something else ({error})") from error


def fit_content_directions(
    styles: Float[Tensor, "samples styles"],
    content: Float[Tensor, "samples descriptors"],
    view: Float[Tensor, "samples targets"],
    count: int,
    *,
    searched: int | None = None,
    view_weight: float = 5.0,
    ridge: float = 1e-3,
) -> ContentDirections:
    """The `count` directions of w* that tell most of the content descriptors and least of the view targets.

    With whitened styles y (unit covariance) they are the leading eigenvectors of R_c - view_weight * R_v, where q^T R q
    is the R2 of the regression of q^T y on the descriptors, or on the view targets: the measure of
    `correlation.view_scores`, for directions instead of dimensions. `write` is the covariance of w* with the
    coordinates (the smallest change in the Mahalanobis sense).

    styles: w* of random samples. view: see `correlation.view_targets`. searched: only the first so many style
    dimensions are read and written. ridge: principal components with less than this share of the largest variance are
    left out.
    """
    samples, total = styles.shape
    searched = searched or total
    if not 1 <= count <= min(searched, samples // 4):
        raise GanverseError(f"expected between 1 and {min(searched, samples // 4)} content directions, got {count}")
    x = _centered(styles[:, :searched])
    covariance = x.T @ x / samples
    variance, axes = torch.linalg.eigh(covariance)
    strong = variance > ridge * variance.amax()
    whiten = axes[:, strong] / variance[strong].sqrt()
    y = x @ whiten
    score = _explained(y, content) - view_weight * _explained(y, view)
    leading = torch.linalg.eigh(score)[1].flip(1)[:, :count]
    read = whiten @ leading
    write = covariance @ read
    padding = styles.new_zeros(total - searched, count)
    return ContentDirections(torch.cat([read.to(styles), padding]), torch.cat([write.to(styles), padding]))


def _centered(values: Tensor) -> Tensor:
    return (values - values.mean(dim=0)).double()


def _explained(y: Float[Tensor, "samples axes"], predictors: Float[Tensor, "samples predictors"]) -> Tensor:
    """Matrix R with q^T R q = R2 of q^T y on the predictors, for whitened y and unit q."""
    left, singular, _ = torch.linalg.svd(_centered(predictors), full_matrices=False)
    fitted = y.T @ left[:, singular > 1e-9 * singular.amax().clamp_min(1e-300)]
    return fitted @ fitted.T / len(y)
