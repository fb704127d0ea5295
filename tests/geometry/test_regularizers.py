from __future__ import annotations

import pytest
import torch

from ganverse.geometry.meshes import icosahedron, sphere_template
from ganverse.geometry.regularizers import (
    Adjacency,
    flatten_loss,
    laplacian_loss,
    low_pass,
    move_loss,
    uniform_laplacian,
)


@pytest.fixture(scope="module")
def sphere():
    return sphere_template(1)


@pytest.fixture(scope="module")
def adjacency(sphere):
    return Adjacency.build(sphere.faces)


def test_adjacency_of_the_icosahedron():
    _, faces = icosahedron()
    adjacency = Adjacency.build(faces)
    assert len(adjacency.edges) == 30
    assert adjacency.degree.tolist() == [5.0] * 12
    for edge, owners in zip(adjacency.edges, adjacency.edge_faces, strict=True):
        assert owners[0] != owners[1]
        assert all(set(edge.tolist()) <= set(faces[owner].tolist()) for owner in owners)


def test_an_open_surface_is_refused(sphere):
    with pytest.raises(ValueError, match="closed"):
        Adjacency.build(sphere.faces[1:])


def test_laplacian_matches_a_dense_matrix(sphere, adjacency):
    verts = sphere.vertices.shape[1]
    matrix = torch.zeros(verts, verts)
    for a, b in adjacency.edges.tolist():
        matrix[a, b] = matrix[b, a] = 1
    matrix = matrix / matrix.sum(dim=1, keepdim=True) - torch.eye(verts)
    values = torch.randn(2, verts, 3)
    torch.testing.assert_close(uniform_laplacian(values, adjacency), matrix @ values)


def test_a_common_displacement_costs_no_laplacian_and_a_spike_does(sphere, adjacency):
    common = torch.full_like(sphere.vertices, 0.3)
    assert laplacian_loss(common, adjacency).max() < 1e-10
    spike = torch.zeros_like(sphere.vertices)
    spike[0, 3, 0] = 0.6
    loss = laplacian_loss(spike, adjacency)[0]
    degree = adjacency.degree[3]
    assert loss[3].item() == pytest.approx(0.36)
    assert loss.count_nonzero() == 1 + degree


def test_flatten_is_zero_on_a_flat_edge_and_grows_with_the_fold(adjacency, sphere):
    flat = flatten_loss(sphere.vertices * torch.tensor([1.0, 1.0, 1e-6]), sphere.faces, adjacency)
    # A pressed sphere: every edge is flat, or folded over at the rim.
    assert torch.minimum(flat, (flat - 4).abs()).max() < 1e-3
    coarse = flatten_loss(sphere.vertices, sphere.faces, adjacency).mean()
    finer = sphere_template(2)
    fine = flatten_loss(finer.vertices, finer.faces, Adjacency.build(finer.faces)).mean()
    assert 0 < fine < coarse


def test_move_is_the_squared_length():
    assert move_loss(torch.tensor([[[0.0, 3.0, 4.0]]])).item() == pytest.approx(25.0)


def test_descent_on_the_regularizers_smooths_a_noisy_mesh(sphere, adjacency):
    displacement = (0.2 * torch.randn_like(sphere.vertices)).requires_grad_()

    def total() -> torch.Tensor:
        return (
            laplacian_loss(displacement, adjacency).mean()
            + flatten_loss(sphere.vertices + displacement, sphere.faces, adjacency).mean()
        )

    before = total()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(total(), displacement)
        with torch.no_grad():
            displacement -= 0.5 * gradient
    assert total() < 0.5 * before


def test_low_pass_keeps_common_motions_and_spreads_spikes(sphere, adjacency):
    matrix = low_pass(sphere.faces, 5.0)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix)))
    noise = torch.randn(1, len(matrix), 3)
    rough, smooth = (laplacian_loss(x, adjacency).mean() for x in (noise, matrix @ noise))
    assert smooth < 0.1 * rough
    torch.testing.assert_close(low_pass(sphere.faces, 0.0), torch.eye(len(matrix)))
