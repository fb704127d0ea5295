"""Initialization of an inverse network: an ellipsoid measured on silhouettes, or trained weights (coarse to fine).

Silhouettes pull a mesh only from outside (DIB-R), so the initial ellipsoid must have about the size of the objects. The
camera distance fixes their scale. Their proportions are measured: at azimuth a, an ellipsoid with half-axes x (across)
and z (along) has half-width sqrt((x cos a)^2 + (z sin a)^2).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import FOVY_DEGREES
from ganverse.geometry.meshes import sphere_template
from ganverse.geometry.regularizers import Adjacency
from ganverse.inverse.network import InverseGraphicsNetwork

SMALLEST_AXIS = 0.1
"""Minimum half-axis in world units."""


def measured_axes(
    masks: Float[Tensor, "pictures 1 side side"], azimuth_degrees: Float[Tensor, " pictures"], distance: float
) -> tuple[float, float, float]:
    """Half-axes (x, y, z) in world units of the ellipsoid with the silhouettes' widths and heights.

    distance: of the cameras. The height is the lower quartile over the images, because objects look higher from above.

    Raises:
        GanverseError: no image shows an object.
    """
    solid = masks[:, 0] > 0.5
    sides = torch.stack([solid.any(dim=1).sum(dim=1), solid.any(dim=2).sum(dim=1)], dim=1)
    shown = sides.amin(dim=1) > 0
    if not bool(shown.any()):
        raise GanverseError("expected objects in the first images, found none; check the masks (stage generate)")
    world = sides[shown] / masks.shape[3] * distance * math.tan(math.radians(FOVY_DEGREES) / 2)
    angle = azimuth_degrees[shown].deg2rad()
    terms = torch.stack([angle.cos(), angle.sin()], dim=1).square()
    squares = torch.linalg.lstsq(terms.double(), world[:, :1].square().double()).solution[:, 0]
    x, z = squares.clamp_min(SMALLEST_AXIS**2).sqrt().tolist()
    y = max(float(world[:, 1].quantile(0.25)), SMALLEST_AXIS)
    return round(x, 3), round(y, 3), round(z, 3)


@torch.no_grad()
def start_from(network: InverseGraphicsNetwork, trained: InverseGraphicsNetwork) -> None:
    """Copies trained weights to `network`, whose template may have more subdivisions (e.g. 2562 instead of 642
    vertices).

    New vertices start at the middle of their edge. Coarse vertices come first in the finer template, so the first
    renders equal those of the coarse network.

    Raises:
        GanverseError: the settings differ in anything else, or `network` is coarser.
    """
    old, new = trained.config, network.config
    if new.subdivisions < old.subdivisions or replace(old, subdivisions=new.subdivisions) != new:
        raise GanverseError(
            f"expected weights to start from with the settings of the network, at most {new.subdivisions} subdivisions "
            f"instead of {old.subdivisions}; got {old} for {new}"
        )
    state = dict(trained.state_dict())
    for level in range(old.subdivisions, new.subdivisions):
        edges = Adjacency.build(sphere_template(level).faces).edges
        state["mean_shape"] = _with_middles(state["mean_shape"], edges)
        for name in ("shape.weight", "shape.bias"):  # three rows per vertex
            state[name] = _with_middles(state[name].unflatten(0, (-1, 3)), edges).flatten(0, 1)
    network.load_state_dict(state)


def _with_middles(values: Float[Tensor, "verts ..."], edges: Int[Tensor, "edges 2"]) -> Float[Tensor, "more ..."]:
    """Vertex values, followed by those of the edge midpoints in the order of `meshes.subdivide`."""
    return torch.cat([values, values[edges.to(values.device)].mean(dim=1)])
