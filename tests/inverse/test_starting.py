"""Coarse to fine: a network on a finer template begins with what the coarse one knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.meshes import sphere_template, subdivide
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.starting import edge_ends, start_from
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
    ends = edge_ends(coarse.faces)
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
        ends = edge_ends(sphere_template(1).faces)
        middles = new.displacement[:, count : count + len(ends)]
        assert torch.allclose(middles, old.displacement[:, ends].mean(dim=2), atol=1e-5)


def test_other_networks_are_refused() -> None:
    coarse = trained(1)
    for other in (replace(coarse.config, latent=8), replace(coarse.config, subdivisions=0)):
        with pytest.raises(GanverseError, match="expected weights to start from"):
            start_from(InverseGraphicsNetwork(other), coarse)
