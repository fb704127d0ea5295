"""Training goes on from trained weights, on the same template or, coarse to fine, on one subdivided further."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.meshes import sphere_template
from ganverse.inverse.network import InverseGraphicsNetwork


@torch.no_grad()
def start_from(network: InverseGraphicsNetwork, trained: InverseGraphicsNetwork) -> None:
    """Copies trained weights into `network`, whose template may have more subdivisions (642 -> 2562 vertices is one).

    New vertices begin in the middle of their edge's ends; everything else is copied. The coarser vertices are the first
    of the finer template, so the first pictures look as the coarse network's would.

    Raises:
        GanverseError: the two differ in more than that, or `network` is coarser.
    """
    old, new = trained.config, network.config
    steps = new.subdivisions - old.subdivisions
    if steps < 0 or replace(old, subdivisions=new.subdivisions) != new:
        raise GanverseError(
            f"expected weights to start from with the settings of the network, at most {new.subdivisions} subdivisions "
            f"instead of {old.subdivisions}; got {old} for {new}"
        )
    state = dict(trained.state_dict())
    for level in range(old.subdivisions, new.subdivisions):
        ends = edge_ends(sphere_template(level).faces)
        state["mean_shape"] = _with_middles(state["mean_shape"], ends)
        for name in ("shape.weight", "shape.bias"):  # three rows per vertex
            state[name] = _with_middles(state[name].unflatten(0, (-1, 3)), ends).flatten(0, 1)
    network.load_state_dict(state)


def edge_ends(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "edges 2"]:
    """The two ends of every edge, in the order in which `meshes.subdivide` puts vertices into their middles."""
    return torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)


def _with_middles(values: Float[Tensor, "verts ..."], ends: Int[Tensor, "edges 2"]) -> Float[Tensor, "more ..."]:
    """Values of vertices and, after them, of the middles of the edges."""
    return torch.cat([values, values[ends.to(values.device)].mean(dim=1)])
