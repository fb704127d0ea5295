import torch

from ganverse.geometry.meshes import face_normals
from ganverse.geometry.voxels import voxelize
from ganverse.worlds.cars import BODY_TYPES, CONTENT_DIMS, HALF_LENGTH, Material, build_cars, hsv_to_rgb


def _one_of_each() -> torch.Tensor:
    content = torch.rand(len(BODY_TYPES), CONTENT_DIMS)
    content[:, 0] = (torch.arange(len(BODY_TYPES)) + 0.5) / len(BODY_TYPES)
    return content


def test_every_body_type_is_closed_and_centered() -> None:
    cars = build_cars(_one_of_each())
    assert cars.body_type.tolist() == list(range(len(BODY_TYPES)))
    edges = torch.cat([cars.faces[:, [0, 1]], cars.faces[:, [1, 2]], cars.faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert all((b, a) in directed for a, b in directed)
    low, high = cars.vertices.amin(dim=1), cars.vertices.amax(dim=1)
    torch.testing.assert_close(high[:, 2], torch.full((6,), HALF_LENGTH), atol=1e-5, rtol=0)
    torch.testing.assert_close(low[:, 2], -high[:, 2], atol=1e-5, rtol=0)
    torch.testing.assert_close(low[:, 0], -high[:, 0], atol=1e-5, rtol=0)
    assert (low[:, 1] + high[:, 1]).abs().max() < 0.01


def test_body_types_differ_in_3d() -> None:
    content = torch.full((len(BODY_TYPES), CONTENT_DIMS), 0.5)
    content[:, 0] = (torch.arange(len(BODY_TYPES)) + 0.5) / len(BODY_TYPES)
    cars = build_cars(content)
    solids = voxelize(cars.vertices, cars.faces, 48)
    for a in range(len(BODY_TYPES)):
        for b in range(a):
            assert (solids[a] ^ solids[b]).sum() > 0.04 * solids[a].sum(), (BODY_TYPES[a], BODY_TYPES[b])


def test_cars_are_solid_inside() -> None:
    cars = build_cars(_one_of_each())
    solids = voxelize(cars.vertices, cars.faces, 32)
    assert solids[:, 16, 14, 10:22].all(), "the middle of the hull is inside every car"


def test_front_lamps_are_in_front_and_rear_lamps_behind() -> None:
    cars = build_cars(_one_of_each())
    centers = cars.vertices[:, cars.faces].mean(dim=2)
    assert (centers[..., 2][cars.material == Material.FRONT_LAMP] > 0.6).all()
    assert (centers[..., 2][cars.material == Material.REAR_LAMP] < -0.6).all()
    normals = face_normals(cars.vertices, cars.faces)
    assert (normals[..., 2][cars.material == Material.FRONT_LAMP]).mean() > 0.3


def test_same_numbers_same_car() -> None:
    content = _one_of_each()
    a, b = build_cars(content), build_cars(content[2:3])
    assert torch.equal(a.vertices[2:3], b.vertices)
    assert torch.equal(a.colors[2:3], b.colors)
    assert torch.equal(a.material[2:3], b.material)


def test_hsv() -> None:
    hsv = torch.tensor([[0.0, 1.0, 1.0], [1 / 3, 1.0, 0.5], [2 / 3, 1.0, 1.0], [0.4, 0.0, 0.7]])
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0], [0.7, 0.7, 0.7]])
    torch.testing.assert_close(hsv_to_rgb(hsv), expected, atol=1e-5, rtol=0)
