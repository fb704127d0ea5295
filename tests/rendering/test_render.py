import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import Mesh, sphere_template
from ganverse.rendering.render import Silhouette, render
from ganverse.rendering.shading import ambient_light, spherical_harmonics
from ganverse.rendering.textures import sample_texture


def _front(count: int = 1, distance: float = 4.0) -> Cameras:
    return Cameras.from_degrees([0.0] * count, [0.0] * count, [distance] * count)


def _plain(count: int = 1) -> torch.Tensor:
    return torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(count, 3, 8, 8).clone()


def test_sphere_is_a_disc_of_the_right_size_and_colour() -> None:
    result = render(sphere_template(3), _plain(), _front(), size=64, backend="reference")
    covered = result.face_index >= 0
    # Silhouette radius of a unit sphere at distance 4: tan(asin(1 / 4)) / tan(15 deg), a little less for the facets.
    assert covered.float().mean().item() * 4 == pytest.approx(torch.pi * 0.9639**2, rel=0.03)
    torch.testing.assert_close(result.rgb[0, :, 32, 32], torch.tensor([0.2, 0.5, 0.8]))
    assert result.rgb[0, :, 0, 0].abs().sum() == 0
    assert result.depth[0, 0, 32, 32].item() == pytest.approx(3.0, abs=0.02)
    assert result.alpha[0, 0][covered[0]].min() == 1


def test_size_may_be_oblong() -> None:
    result = render(sphere_template(2), _plain(), _front(), size=(32, 64), backend="reference")
    assert result.rgb.shape == (1, 3, 32, 64)
    rows, columns = (result.face_index[0] >= 0).nonzero().unbind(dim=1)
    assert abs(int(rows.max() - rows.min()) - int(columns.max() - columns.min())) <= 1, "circles stay circles"


def test_ambient_light_changes_nothing_and_light_from_above_does() -> None:
    mesh = sphere_template(3)
    plain = render(mesh, _plain(), _front(), size=32, backend="reference").rgb
    torch.testing.assert_close(render(mesh, _plain(), _front(), ambient_light(1), 32, backend="reference").rgb, plain)
    light = ambient_light(1)
    light[0, 1] = 0.5
    lit = render(mesh, _plain(), _front(), light, 32, backend="reference").rgb
    assert lit[0, 1, 6, 16] > plain[0, 1, 6, 16] > lit[0, 1, 26, 16]


def test_spherical_harmonics_are_orthogonal() -> None:
    normals = torch.nn.functional.normalize(torch.randn(200_000, 3), dim=-1)
    basis = spherical_harmonics(normals)
    gram = basis.T @ basis / len(normals)
    off_diagonal = gram - gram.diag().diag()
    assert off_diagonal.abs().max() < 0.02


def test_texture_is_upright() -> None:
    texture = torch.zeros(1, 3, 4, 4)
    texture[0, 0, 0, :] = 1
    uv = torch.tensor([[[[0.5, 0.95], [0.5, 0.05]]]])
    assert sample_texture(texture, uv)[0, 0, 0].tolist() == [1.0, 0.0]


def test_back_faces_and_faces_behind_the_camera_are_not_drawn() -> None:
    mesh = sphere_template(2)
    inside_out = Mesh(mesh.vertices, mesh.faces.flip(1), mesh.face_uvs.flip(1))
    assert (render(inside_out, _plain(), _front(), size=16, backend="reference").rgb[0, :, 8, 8] > 0).all(), (
        "seen through its open front, the far side faces us"
    )
    behind = mesh.with_vertices(mesh.vertices + torch.tensor([0.0, 0.0, 9.0]))
    assert (render(behind, _plain(), _front(), size=16, backend="reference").face_index < 0).all()


def test_gradients_reach_vertices_texture_cameras_and_light() -> None:
    mesh = sphere_template(1)
    vertices = (mesh.vertices * 0.5).requires_grad_()
    texture, light = _plain().requires_grad_(), ambient_light(1).requires_grad_()
    azimuth = torch.zeros(1, requires_grad=True)
    elevation, distance = torch.full((1,), 0.2), torch.full((1,), 3.0)
    texture.data += 0.1 * torch.rand_like(texture)
    cameras = Cameras(azimuth, elevation, distance, torch.zeros(1, 2))
    result = render(
        mesh.with_vertices(vertices),
        texture,
        cameras,
        light,
        32,
        silhouette=Silhouette(1000.0, 0.1),
        backend="reference",
    )
    (result.rgb.square().sum() + result.alpha.sum()).backward()
    for leaf in (vertices, texture, azimuth, light):
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


def test_batch_sizes_must_agree() -> None:
    with pytest.raises(GanverseError, match="one camera and one texture per mesh"):
        render(sphere_template(1), _plain(), _front(2), size=16)
