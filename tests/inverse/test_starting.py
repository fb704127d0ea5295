"""Where a network starts: an ellipsoid measured on silhouettes, or the weights of a network on a coarser template."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import FOVY_DEGREES
from ganverse.geometry.meshes import sphere_template, subdivide
from ganverse.geometry.regularizers import Adjacency
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.starting import SMALLEST_AXIS, measured_axes, start_from
from tests.reconstruction.toys import NETWORK


def trained(subdivisions: int) -> InverseGraphicsNetwork:
    """Its shapes differ from picture to picture and from the ellipsoid."""
    torch.manual_seed(1)
    network = InverseGraphicsNetwork(replace(NETWORK, subdivisions=subdivisions, smoothing=0.0))
    with torch.no_grad():
        network.mean_shape.add_(0.1 * network.start * torch.tensor([1.0, 2.0, 0.5]))
        network.shape.weight.normal_(std=0.02)
        network.shape.bias.normal_(std=0.02)
    return network


def test_middles_are_those_of_the_template() -> None:
    coarse = sphere_template(1)
    finer, _ = subdivide(coarse.vertices[0], coarse.faces)
    ends = Adjacency.build(coarse.faces).edges
    assert torch.equal(finer[len(coarse.vertices[0]) :], coarse.vertices[0][ends].mean(dim=1))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_finer_network_shows_the_coarse_shapes(steps: int) -> None:
    coarse = trained(1)
    network = InverseGraphicsNetwork(replace(coarse.config, subdivisions=1 + steps))
    start_from(network, coarse)
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        old, new = coarse(pictures), network(pictures)
    count = old.vertices.shape[1]
    assert torch.allclose(new.displacement[:, :count], old.displacement, atol=1e-5)
    assert torch.equal(new.camera.azimuth, old.camera.azimuth)
    if steps:
        ends = Adjacency.build(sphere_template(1).faces).edges
        middles = new.displacement[:, count : count + len(ends)]
        assert torch.allclose(middles, old.displacement[:, ends].mean(dim=2), atol=1e-5)


def test_other_networks_are_refused() -> None:
    coarse = trained(1)
    for other in (replace(coarse.config, latent=8), replace(coarse.config, subdivisions=0)):
        with pytest.raises(GanverseError, match="expected weights to start from"):
            start_from(InverseGraphicsNetwork(other), coarse)


def box(width: float, height: float, side: int = 64) -> torch.Tensor:
    """A rectangle in the middle; half sizes in NDC."""
    axis = ((2 * torch.arange(side) + 1 - side) / side).abs()
    return ((axis[None] < width) & (axis[:, None] < height)).float()[None]


def test_axes_of_an_ellipsoid_seen_from_all_sides() -> None:
    x, y, z, distance = 0.3, 0.4, 0.9, 5.0
    azimuth = torch.arange(0.0, 360.0, 15.0)
    angle = azimuth.deg2rad()
    width = ((x * angle.cos()) ** 2 + (z * angle.sin()) ** 2).sqrt()
    scale = distance * math.tan(math.radians(FOVY_DEGREES) / 2)
    masks = torch.stack([box(float(w) / scale, y / scale, 256) for w in width])
    assert measured_axes(masks, azimuth, distance) == pytest.approx((x, y, z), abs=0.02)


def test_pictures_without_objects() -> None:
    masks = torch.stack([box(0.2, 0.2), torch.zeros(1, 64, 64)])
    assert min(measured_axes(masks, torch.tensor([90.0, 0.0]), 4.0)) >= SMALLEST_AXIS
    with pytest.raises(GanverseError, match="found none"):
        measured_axes(torch.zeros(2, 1, 64, 64), torch.zeros(2), 4.0)
