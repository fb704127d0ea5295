import pytest
import torch

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, PinholeCameras
from ganverse.geometry.meshes import Mesh, sphere_template
from ganverse.rendering import SoftMaskSettings, ambient_light, render, spherical_harmonics, texture_mapping
from ganverse.rendering.backends import Backend
from tests.rendering.interpreter import run_python


def _front(count: int = 1, distance: float = 4.0) -> Cameras:
    return Cameras.from_degrees([0.0] * count, [0.0] * count, [distance] * count)


def _plain(count: int = 1) -> torch.Tensor:
    return torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(count, 3, 8, 8).clone()


def test_sphere_is_a_disc_of_the_right_size_and_color() -> None:
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


def test_spherical_harmonics_are_orthogonal_and_carry_the_cosine_s_bands() -> None:
    """Mean squares are those of (A_l / A_0)^2, with A = pi, 2 pi / 3, pi / 4 (Ramamoorthi and Hanrahan 2001)."""
    normals = torch.nn.functional.normalize(torch.randn(200_000, 3), dim=-1)
    basis = spherical_harmonics(normals)
    gram = basis.T @ basis / len(normals)
    off_diagonal = gram - gram.diag().diag()
    assert off_diagonal.abs().max() < 0.02
    assert gram.diag().tolist() == pytest.approx([1] + [(2 / 3) ** 2] * 3 + [(1 / 4) ** 2] * 5, rel=0.02)


def test_texture_is_upright_and_clamps() -> None:
    texture = torch.zeros(1, 3, 4, 4)
    texture[0, 0, 0, :] = 1
    uv = torch.tensor([[[[0.5, 0.95], [0.5, 0.05], [0.5, 7.0], [0.5, -7.0]]]])
    for mode in ("nearest", "bilinear"):
        assert texture_mapping(uv, texture, mode)[0, 0, :, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
    between = torch.tensor([[[[0.5, 0.8]]]])
    assert texture_mapping(between, texture).flatten()[0] == 1, "Kaolin's default is the nearest texel"
    assert 0.5 < texture_mapping(between, texture, "bilinear").flatten()[0] < 1


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
        silhouette=SoftMaskSettings(1000.0, 0.1),
        backend="reference",
    )
    (result.rgb.square().sum() + result.alpha.sum()).backward()
    for leaf in (vertices, texture, azimuth, light):
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


def test_batch_sizes_must_agree() -> None:
    with pytest.raises(GanverseError, match="one camera and one texture per mesh"):
        render(sphere_template(1), _plain(), _front(2), size=16)


@pytest.mark.parametrize("samples", [2, 3])
def test_samples_are_means_over_the_pixel(samples: int) -> None:
    mesh, light = sphere_template(2), ambient_light(1)
    arguments = (mesh, _plain(), _front(), light)
    fine = render(*arguments, 16 * samples, backend="reference")
    smooth = render(*arguments, 16, samples=samples, backend="reference")
    torch.testing.assert_close(smooth.rgb, torch.nn.functional.avg_pool2d(fine.rgb, samples))
    torch.testing.assert_close(smooth.alpha, torch.nn.functional.avg_pool2d(fine.alpha, samples))
    assert smooth.depth.shape == (1, 1, 16, 16)
    partly = (smooth.rgb[0, 0] > 0.01) & (smooth.rgb[0, 0] < 0.19)
    assert partly.sum() > 10, "the edge has shades between background and 0.2"
    if samples == 3:  # the middle sample is the pixel's center
        plain = render(*arguments, 16, backend="reference")
        assert (smooth.face_index != plain.face_index).float().mean() < 0.02


def test_partly_covered_pixels_have_gradients_too() -> None:
    mesh = sphere_template(2)
    vertices = mesh.vertices.clone().requires_grad_()
    result = render(mesh.with_vertices(vertices), _plain(), _front(), size=8, samples=4, backend="reference")
    inside = (result.face_index >= 0) & (result.alpha[:, 0] < 0.99)
    assert inside.any(), "their centers are covered"
    result.alpha[:, 0][inside].sum().backward()
    assert vertices.grad is not None
    assert (vertices.grad * mesh.vertices).sum() > 0, "a larger sphere covers more of them"


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(GanverseError, match="1 to 8 samples per pixel side, got 0"):
        render(sphere_template(1), _plain(), _front(), size=8, samples=0)


@pytest.mark.parametrize("backend", ["reference", "warp"])
def test_pinhole_cameras_render_as_the_cameras_they_come_from(backend: Backend) -> None:
    cameras = Cameras(*torch.tensor([[0.3, 4.0], [0.2, -0.5], [3.0, 4.0]]), torch.tensor([[0.2, 0.1], [0.0, -0.3]]))
    mesh, texture, size = sphere_template(2).repeat_interleave(2), torch.rand(2, 3, 8, 8), (24, 36)
    expected = render(mesh, texture, cameras, size=size, backend=backend)
    result = render(mesh, texture, cameras.pinhole(aspect=36 / 24), size=size, backend=backend)
    assert (expected.face_index >= 0).any()
    for found, wanted in zip(vars(result).values(), vars(expected).values(), strict=True):
        assert found.equal(wanted)


def test_an_opencv_camera_sees_the_object_where_its_principal_point_is() -> None:
    k = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 12.0], [0.0, 0.0, 1.0]]])
    behind = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))[None]  # at -z, upright: x right is the world's -x, y down
    cameras = PinholeCameras.from_opencv(k, behind, torch.tensor([[0.0, 0.0, 10.0]]), (40, 60))
    texture = torch.zeros(1, 3, 8, 8)
    texture[:, 0, :, 4:] = 1  # red towards the front (+z), u = 1
    sphere = sphere_template(3)
    result = render(sphere, texture, cameras, size=(40, 60))
    rows, columns = (result.face_index[0] >= 0).nonzero().unbind(dim=1)
    assert rows.float().mean().item() + 0.5 == pytest.approx(12, abs=0.2)
    assert columns.float().mean().item() + 0.5 == pytest.approx(50, abs=0.2)
    assert len(rows) == pytest.approx(torch.pi * 10**2, rel=0.1), "a unit sphere at 10 units is 10 pixels wide"
    assert result.rgb[0, 0, 12, 50] == 0, "the rear"
    assert result.depth[0, 0, 12, 50].item() == pytest.approx(9.0, abs=0.02)
    front = render(sphere, texture, Cameras.from_degrees([0.0], [0.0], [10.0]), size=9)
    assert front.rgb[0, 0, 4, 4] == 1


def test_gradients_reach_pose_and_intrinsics() -> None:
    leaves = [x.clone().requires_grad_() for x in vars(_front().pinhole()).values()]
    result = render(sphere_template(1), _plain(), PinholeCameras(*leaves), size=16)
    (result.alpha * torch.rand(16, 16)).sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("pinhole", [False, True])
def test_one_float64_input_makes_all_float64(pinhole: bool) -> None:
    mesh, cameras = sphere_template(2), _front()
    wide = mesh.with_vertices(mesh.vertices.double())
    for each in ((wide, cameras), (mesh, cameras.to(torch.float64))):
        camera = each[1].pinhole() if pinhole else each[1]
        result = render(each[0], _plain(), camera, ambient_light(1), 16)
        assert result.rgb.dtype == result.alpha.dtype == result.depth.dtype == torch.float64
        torch.testing.assert_close(
            result.alpha.float(), render(mesh, _plain(), cameras, size=16).alpha, atol=1e-4, rtol=0
        )


def test_faces_that_reach_behind_the_camera_leave_no_trace_in_the_silhouette() -> None:
    mesh = sphere_template(1)
    alone = render(mesh, _plain(), _front(), size=24, backend="reference")
    vertices = torch.cat([mesh.vertices, torch.tensor([[[-0.5, -0.4, 3.9], [0.5, -0.4, 3.9], [0.0, 0.4, 4.2]]])], 1)
    triangle = torch.tensor([[42, 43, 44]])
    both = Mesh(vertices, torch.cat([triangle, mesh.faces]), torch.cat([mesh.face_uvs[:1], mesh.face_uvs]))
    result = render(both, _plain(), _front(), size=24, backend="reference")
    torch.testing.assert_close(result.alpha, alone.alpha)
    torch.testing.assert_close(result.rgb, alone.rgb)


@pytest.mark.parametrize("backend", ["reference", "warp"])
def test_a_vertex_that_is_not_a_number_names_its_batch_index(backend: Backend) -> None:
    mesh = sphere_template(1).repeat_interleave(3)
    vertices = mesh.vertices.clone()
    vertices[1, 5, 2] = torch.nan
    with pytest.raises(GanverseError, match="got NaN or infinity at batch index 1"):
        render(mesh.with_vertices(vertices), _plain(3), _front(3), size=8, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "warp"])
def test_autocast_and_half_precision_leave_positions_exact(backend: Backend) -> None:
    mesh, light = sphere_template(2), ambient_light(1)
    expected = render(mesh, _plain(), _front(), light, 20, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = render(mesh, _plain().bfloat16(), _front(), light, 20, backend=backend)
    assert result.alpha.dtype == result.rgb.dtype == torch.float32
    assert result.face_index.equal(expected.face_index)
    torch.testing.assert_close(result.alpha, expected.alpha)
    torch.testing.assert_close(result.rgb, expected.rgb, rtol=0, atol=4e-3)
    half = render(mesh.with_vertices(mesh.vertices.half()), _plain().half(), _front(), size=20, backend=backend)
    assert half.rgb.dtype == torch.float32
    assert half.alpha.isfinite().all()


def test_a_mesh_without_faces_is_an_empty_picture() -> None:
    mesh = Mesh(torch.zeros(1, 3, 3), torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 3, 2))
    result = render(mesh, _plain(), _front(), size=8)
    assert result.rgb.abs().sum() + result.alpha.abs().sum() + result.depth.abs().sum() == 0


COMPILED = """
import torch
from ganverse.geometry.cameras import Cameras
from ganverse.geometry.meshes import sphere_template
from ganverse.rendering import render

mesh, cameras = sphere_template(1), Cameras.from_degrees([0.0], [0.0], [4.0])
network, texture = torch.nn.Linear(4, 3 * 42), torch.rand(1, 3, 8, 8)

def loss(code):
    moved = mesh.vertices + 0.1 * network(code).view(1, -1, 3).tanh()
    result = render(mesh.with_vertices(moved), texture, cameras, size=16)
    return result.rgb.square().mean() + result.alpha.mean()

code, gradients = torch.randn(4), []
for function in (loss, torch.compile(loss, backend="aot_eager")):
    network.zero_grad()
    function(code).backward()
    gradients.append(network.weight.grad.clone())
torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
print("same gradients")
"""


def test_a_network_can_be_compiled_with_the_renderer_inside() -> None:
    # Not in this process: the annotations' run-time checks are in the compiler's way.
    assert run_python("-W", "error", "-c", COMPILED) == "same gradients"
