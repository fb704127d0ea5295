import math

import pytest
import torch

from ganverse.evaluation.surfaces import (
    SurfaceDistances,
    SurfaceSamples,
    nearest_triangle,
    sample_outer_surface,
    sample_surface,
    triangle_distance,
)
from ganverse.geometry.meshes import sphere_template
from ganverse.worlds.solids import LatticeBox

BOX = LatticeBox.build(1, 1, 1)


def cube(side: float = 1.0, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    return ((BOX.lattice.float() - 0.5) * side + torch.tensor(shift))[None]


def test_triangle_distance_to_inside_edge_and_corner() -> None:
    triangle = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    points = torch.tensor([[0.5, 0.5, 0.3], [0.5, -0.4, 0.0], [-3.0, -4.0, 0.0], [2.0, 2.0, 0.0], [0.2, 0.2, 0.0]])
    distances = triangle_distance(points, triangle.expand(5, 3, 3))
    assert distances.tolist() == pytest.approx([0.3, 0.4, 5.0, math.sqrt(2), 0.0], abs=1e-6)


def test_samples_lie_on_the_surface_evenly() -> None:
    samples = sample_surface(cube(2.0), BOX.faces, 6000)
    points = samples.points[0]
    assert torch.allclose(points.abs().amax(dim=1), torch.ones(6000), atol=1e-6)
    sides = [(points[:, axis] * sign > 0.99999).float().mean().item() for axis in range(3) for sign in (-1, 1)]
    assert sides == pytest.approx([1 / 6] * 6, abs=0.02)
    assert torch.allclose((samples.normals[0] * points).sum(dim=1), torch.ones(6000), atol=1e-5)


def test_outer_surface_leaves_out_what_lies_inside_the_union() -> None:
    """Two cubes that overlap by half: the ends inside the other are no surface."""
    vertices = torch.cat([cube(0.8), cube(0.8, (0.4, 0.0, 0.0)) * torch.tensor([1.0, 0.5, 0.5])], dim=1)
    faces = torch.cat([BOX.faces, BOX.faces + len(BOX.lattice)])
    x = sample_outer_surface(vertices, faces, 1000).points[0]
    inside = (x[:, 0].abs() < 0.35) & (x[:, 1:].abs().amax(dim=1) < 0.35)
    assert not inside.any()
    assert (x[:, 0] > 0.75).any()
    assert (x[:, 0] < -0.35).any()
    everything = sample_surface(vertices, faces, 1000).points[0]
    assert ((everything[:, 0].abs() < 0.35) & (everything[:, 1:].abs().amax(dim=1) < 0.35)).any()


def test_distance_to_surface_is_that_of_the_triangles_not_of_the_samples() -> None:
    sphere = sphere_template(2)
    surface = sample_surface(sphere.vertices, sphere.faces, 3000)
    others = sample_surface(sphere.vertices, sphere.faces, 100, seed=1).points
    points_apart = torch.cdist(others, surface.points).amin(dim=2).mean()
    distances, _ = nearest_triangle(others, surface)
    assert distances.mean() < 0.05 * points_apart
    assert nearest_triangle(others * 1.1, surface)[0].mean().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(nearest_triangle(others, surface, chunk=7)[0], distances)


def test_chamfer_and_f_score_of_a_shifted_cube() -> None:
    a, b = (
        sample_surface(cube(1.0, (shift, 0.0, 0.0)), BOX.faces, 3000, seed=seed) for shift, seed in ((0.0, 0), (0.1, 1))
    )
    same, moved = SurfaceDistances.measure(a, a, 500), SurfaceDistances.measure(a, b, 500)
    assert same.chamfer_l1.item() == pytest.approx(0, abs=1e-5)
    assert same.f_score(0.01).item() == 1
    # Two of six sides are 0.1 away, and of the four others the tenth that sticks out is 0.05 away on average.
    assert moved.chamfer_l1.item() == pytest.approx(2 * (2 / 6 * 0.1 + 4 / 6 * 0.1 * 0.05), rel=0.1)
    assert moved.f_score(0.2).item() == 1
    assert moved.f_score(1e-3).item() == pytest.approx(4 / 6 * 0.9, abs=0.05)


def test_normal_consistency_is_the_cosine_of_the_angle_between_surfaces() -> None:
    triangle, faces = torch.tensor([[[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]]]), torch.tensor([[0, 1, 2]])
    turn = math.radians(20)
    tilted = triangle * torch.tensor([1.0, math.cos(turn), 0.0]) + triangle[..., [2, 2, 1]] * math.sin(turn)
    flat, slanted = (sample_surface(x, faces, 50) for x in (triangle, tilted))
    flipped = sample_surface(tilted, faces[:, [0, 2, 1]], 50)
    for other in (slanted, flipped):
        measured = SurfaceDistances.measure(flat, other, 50)
        assert measured.normal_consistency.item() == pytest.approx(math.cos(turn), abs=1e-5)


def test_mirror_images_keep_their_normals_outward() -> None:
    sphere = sphere_template(1)
    samples = sample_surface(sphere.vertices, sphere.faces, 50).with_mirror_images()
    assert isinstance(samples, SurfaceSamples)
    assert ((samples.normals * samples.points).sum(dim=-1) > 0.9).all()
    assert samples.points.sum(dim=1)[0, 0].item() == pytest.approx(0, abs=1e-5)
