import math

import pytest
import torch

from ganverse.geometry.meshes import face_normals, mirror_pairs, sphere_template, vertex_normals


def test_template_has_the_papers_size() -> None:
    mesh = sphere_template(3)
    assert mesh.vertices.shape == (1, 642, 3)
    assert mesh.faces.shape == (1280, 3)
    torch.testing.assert_close(mesh.vertices.norm(dim=-1), torch.ones(1, 642))


def test_finer_template() -> None:
    assert sphere_template(4).vertices.shape == (1, 2562, 3)


def test_the_coarsest_template_is_the_regular_icosahedron() -> None:
    mesh = sphere_template(0)
    torch.testing.assert_close(mesh.vertices.norm(dim=-1), torch.ones(1, 12))
    corners = mesh.vertices[0][mesh.faces]
    sides = (corners - corners.roll(1, dims=1)).norm(dim=-1)
    torch.testing.assert_close(sides, torch.full((20, 3), 4 / math.sqrt(10 + 2 * math.sqrt(5))))


def test_every_mesh_is_repeated_in_a_row() -> None:
    mesh = sphere_template(0)
    two = mesh.with_vertices(torch.cat([mesh.vertices, 2 * mesh.vertices]))
    assert two.repeat_interleave(3).vertices.norm(dim=2).mean(dim=1).tolist() == pytest.approx([1, 1, 1, 2, 2, 2])


def test_template_is_closed_and_faces_outward() -> None:
    mesh = sphere_template(2)
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert all((b, a) in directed for a, b in directed)
    centers = mesh.vertices[0][mesh.faces].mean(dim=1)
    assert (face_normals(mesh.vertices, mesh.faces)[0] * centers).sum(dim=-1).min() > 0.9


def test_vertex_normals_of_a_sphere_point_outward() -> None:
    mesh = sphere_template(3)
    assert (vertex_normals(mesh.vertices, mesh.faces) * mesh.vertices).sum(dim=-1).min() > 0.999


def test_mirror_pairs_are_an_involution() -> None:
    vertices = sphere_template(3).vertices[0]
    pairs = mirror_pairs(vertices)
    assert torch.equal(pairs[pairs], torch.arange(642))
    torch.testing.assert_close(vertices[pairs], vertices * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_mirror_pairs_refuse_a_lopsided_mesh() -> None:
    vertices = sphere_template(1).vertices[0].clone()
    vertices[5, 0] += 0.1
    with pytest.raises(ValueError, match="symmetric"):
        mirror_pairs(vertices)


def test_chart_puts_the_roof_in_the_center_and_the_front_on_the_right() -> None:
    mesh = sphere_template(3)
    corners = mesh.vertices[0][mesh.faces]
    uv = mesh.face_uvs
    assert uv.min() >= 0
    assert uv.max() <= 1
    top = corners[..., 1] > 0.98
    assert (uv[top] - 0.5).abs().max() < 0.11
    assert (uv[corners[..., 2] > 0.95][:, 0] > 0.8).all()
    assert (uv[corners[..., 2] < -0.95][:, 0] < 0.21).all()
    assert (uv[corners[..., 0] > 0.95][:, 1] < 0.21).all()


def test_chart_is_one_to_one_down_to_the_underside() -> None:
    """Only the smeared down pole may fold: all other UV triangles have one orientation."""
    mesh = sphere_template(3)
    uv, lowest = mesh.face_uvs, mesh.vertices[0][mesh.faces][..., 1].amin(dim=1)
    ab, ac = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = (ab[:, 1] * ac[:, 0] - ab[:, 0] * ac[:, 1]) / 2
    assert (area[lowest > -0.9] > 0).all()
    assert area[lowest > -0.9].sum().item() == pytest.approx(0.89, abs=0.02)


def test_mirroring_the_mesh_mirrors_the_chart_vertically() -> None:
    mesh = sphere_template(2)
    corners = mesh.face_uvs.reshape(-1, 2)
    mirrored = corners * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    assert torch.cdist(mirrored, corners, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1).max() < 1e-4
