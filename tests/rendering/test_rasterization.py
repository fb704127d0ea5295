"""The public primitives: Kaolin's arguments and results, which backend does the work, what they refuse."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering import dibr_rasterization, dibr_soft_mask, rasterize, soft_silhouette
from ganverse.rendering.backends import Backend
from ganverse.rendering.rasterization import draw
from ganverse.rendering.scene import Triangles
from tests.rendering.random_scenes import cast, rectangle, soup

BACKENDS: tuple[Backend, ...] = ("reference", "warp")


def facing(scene: Triangles) -> Tensor:
    """Kaolin's face_normals_z for the faces of a scene that are drawn; 0 is drawn too."""
    assert scene.drawn is not None
    return torch.where(scene.drawn, 0.0, -0.1)


def test_signatures_are_kaolins() -> None:
    # kaolin 0.18, kaolin.render.mesh
    required = inspect.Parameter.empty
    expected = {
        dibr_rasterization: {
            "height": required,
            "width": required,
            "face_vertices_z": required,
            "face_vertices_image": required,
            "face_features": required,
            "face_normals_z": required,
            "sigmainv": 7000,
            "boxlen": 0.02,
            "knum": 30,
            "multiplier": None,
            "eps": None,
            "rast_backend": "cuda",
        },
        rasterize: {
            "height": required,
            "width": required,
            "face_vertices_z": required,
            "face_vertices_image": required,
            "face_features": required,
            "valid_faces": None,
            "multiplier": None,
            "eps": None,
            "backend": "cuda",
        },
        dibr_soft_mask: {
            "face_vertices_image": required,
            "selected_face_idx": required,
            "sigmainv": 7000,
            "boxlen": 0.02,
            "knum": 30,
        },
    }
    for function, parameters in expected.items():
        found = {name: each.default for name, each in inspect.signature(function).parameters.items()}
        assert list(found.items())[: len(parameters)] == list(parameters.items())


def triangles() -> tuple[Tensor, Tensor]:
    """The three faces of the first image of Kaolin's own test of the soft mask: z and image positions."""
    corners = [
        [[-0.7, 0.0], [0.0, -0.7], [0.0, 0.7]],
        [[-0.7, 0.0], [0.0, 0.7], [0.0, -0.7]],
        [[0.0, -0.7], [0.0, 0.7], [0.7, 0.0]],
    ]
    z = [[-2.0, -1.0, -1.0], [-2.5, -3.0, -3.0], [-2.0, -2.0, -2.0]]
    return torch.tensor([z]), torch.tensor([corners])


@pytest.mark.parametrize("rast_backend", ["cuda", "nvdiffrast_fwd", *BACKENDS])
def test_a_kaolin_script_runs_with_positional_and_with_keyword_arguments(rast_backend: Backend) -> None:
    z, image = triangles()
    uv, ones = image.clone(), torch.ones(1, 3, 3, 1)
    normals_z = torch.tensor([[1.0, -1.0, 0.0]])
    arguments = {"height": 35, "width": 31, "face_vertices_z": z, "face_vertices_image": image}
    arguments |= {"face_features": [uv, ones], "face_normals_z": normals_z, "rast_backend": rast_backend}
    (coordinates, mask), soft_mask, face_idx = dibr_rasterization(**arguments)
    again = dibr_rasterization(35, 31, z, image, (uv, ones), normals_z, 7000, 0.02, 30, 1000.0, 1e-8, rast_backend)
    assert all(a.equal(b) for a, b in zip(again[0], (coordinates, mask), strict=True))
    assert again[1].equal(soft_mask)
    assert again[2].equal(face_idx)
    assert coordinates.shape == (1, 35, 31, 2)
    assert mask.shape == (1, 35, 31, 1)
    assert soft_mask.shape == face_idx.shape == (1, 35, 31)
    assert face_idx.dtype == torch.int64
    # |x| + |y| <= 0.7, left half face 0, right half face 2 whose normal has z = 0; face 1 looks away.
    x = ((2 * torch.arange(31) + 1 - 31) / 31).expand(35, 31)
    y = ((35 - 2 * torch.arange(35) - 1) / 35)[:, None].expand(35, 31)
    inside = x.abs() + y.abs() <= 0.7
    assert (face_idx[0] >= 0).equal(inside)
    assert face_idx[0][inside & (x < 0)].unique().tolist() == [0]
    assert face_idx[0][inside & (x > 0)].unique().tolist() == [2]
    torch.testing.assert_close(coordinates[0][inside], torch.stack([x, y], -1)[inside], rtol=0, atol=1e-6)
    torch.testing.assert_close(mask[0, ..., 0], inside.float())
    assert coordinates[0][~inside].abs().sum() == 0
    # Outside, left of the outline: all faces within 0.02 of the pixel count, also the one that looks away.
    assert (soft_mask[0][inside] == 1).all()
    near = ~inside & (x < -0.05) & (y.abs() > 0.1) & (x.abs() + y.abs() < 0.8)
    assert near.sum() > 4
    p = torch.exp(-7000 * (x.abs() + y.abs() - 0.7).square() / 2)
    torch.testing.assert_close(soft_mask[0][near], (1 - (1 - p) ** 2)[near], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("sigmainv", "boxlen", "total", "loss", "outer", "inner"),
    [
        (7000, 0.02, 281.3213, 0.575154, 0.233590, (0.105082, 0.105082)),
        (70, 0.2, 417.3876, 0.535949, 0.217958, (0.053422, 0.022760)),
    ],
)
def test_silhouette_and_gradient_are_those_that_kaolin_stores(
    backend: Backend,
    sigmainv: float,
    boxlen: float,
    total: float,
    loss: float,
    outer: float,
    inner: tuple[float, float],
) -> None:
    """Values of our float64 reference, which agrees with the CUDA results in Kaolin's repository to 1e-8."""
    z, image = triangles()
    image.requires_grad_()
    _, mask, index = dibr_rasterization(
        35, 31, z, image, image.detach(), torch.ones(1, 3), sigmainv, boxlen, rast_backend=backend
    )
    target = torch.nn.functional.pad(index >= 0, (0, 5))[..., 5:].float()  # the covered pixels, five to the left
    both = (mask * target).sum()
    found = 1 - both / ((mask + target).sum() - both)
    (gradient,) = torch.autograd.grad(found, image)
    assert mask.sum().item() == pytest.approx(total, abs=1e-3)
    assert found.item() == pytest.approx(loss, abs=1e-5)
    assert gradient[0, 0, 0].tolist() == pytest.approx([outer, 0.0], abs=1e-5)
    assert gradient[0, 0, 1].tolist() == pytest.approx(inner, abs=1e-5)
    assert gradient[0, 1, 2].tolist() == pytest.approx(inner, abs=1e-5), "also faces that look away"


def test_one_tensor_of_features_gives_one_image_and_rasterize_agrees() -> None:
    z, image = triangles()
    features, _, face_idx = dibr_rasterization(20, 20, z, image, image, torch.ones(1, 3))
    assert isinstance(features, Tensor)
    drawn, index = rasterize(20, 20, z, image, [image], torch.ones(1, 3, dtype=torch.bool))
    assert isinstance(drawn, tuple)
    assert drawn[0].equal(features)
    assert index.equal(face_idx)
    assert rasterize(20, 20, z, image, image)[1].equal(face_idx), "without valid_faces all are drawn"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_positions_that_are_not_finite_name_the_batch_index(backend: Backend, value: float) -> None:
    scene = soup(0, batch=3)
    corners, z = scene.corners.clone(), scene.z.clone()
    corners[1, 7, 2, 0] = value
    z[2, 0, 0] = value
    with pytest.raises(GanverseError, match="finite face_vertices_image, got NaN or infinity at batch index 1"):
        rasterize(8, 8, scene.z, corners, scene.features, backend=backend)
    with pytest.raises(GanverseError, match="finite face_vertices_z, got NaN or infinity at batch index 2"):
        rasterize(8, 8, z, scene.corners, scene.features, backend=backend)
    with pytest.raises(GanverseError, match="batch index 1"):
        soft_silhouette(corners, torch.full((3, 8, 8), -1), backend=backend)
    with pytest.raises(GanverseError, match="finite face_vertices_image, got NaN or infinity at batch index 1"):
        dibr_rasterization(8, 8, scene.z, corners, scene.features, facing(scene), rast_backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_finite_positions_are_accepted(backend: Backend) -> None:
    scene = soup(0)
    rasterize(4, 4, scene.z.sign() * 3e38, scene.corners.sign() * 3e38, scene.features, backend=backend)


def test_an_image_without_pixels_is_refused() -> None:
    scene = soup(0)
    with pytest.raises(GanverseError, match="got 0 x 8"):
        rasterize(0, 8, scene.z, scene.corners, scene.features)


def test_tensors_that_do_not_belong_together_are_refused() -> None:
    scene = soup(0, batch=3)
    for wrong in (
        scene._replace(z=scene.z[:2]),
        scene._replace(features=scene.features[:, 1:]),
        scene._replace(drawn=torch.ones(3, 7, dtype=torch.bool)),
        scene._replace(features=scene.features.to("meta")),
    ):
        # Past the annotations, which are checked in tests only.
        with pytest.raises(GanverseError, match=r"expected (face|valid)_\w+.* of \(3, 40.* on cpu .* got"):
            wrong.check_shapes()
    with pytest.raises(GanverseError, match=r"selected_face_idx of \(batch, height, width\)"):
        inspect.unwrap(soft_silhouette)(scene.corners, torch.full((2, 8, 8), -1))


@pytest.mark.parametrize("setting", [{"sigmainv": 0.0}, {"sigmainv": math.nan}, {"boxlen": -0.1}, {"knum": 0}])
def test_silhouette_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    scene = soup(0)
    with pytest.raises(GanverseError, match="start from the defaults"):
        soft_silhouette(scene.corners, torch.full((2, 8, 8), -1), **setting)
    with pytest.raises(GanverseError, match="start from the defaults"):
        dibr_rasterization(8, 8, scene.z, scene.corners, scene.features, facing(scene), **setting)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mesh_without_faces_gives_an_empty_image(backend: Backend) -> None:
    corners = torch.zeros(2, 0, 3, 2, requires_grad=True)
    features, index = rasterize(5, 6, torch.zeros(2, 0, 3), corners, torch.zeros(2, 0, 3, 4), backend=backend)
    mask = soft_silhouette(corners, index, backend=backend)
    assert features.shape == (2, 5, 6, 4)
    assert (index == -1).all()
    assert features.abs().sum() + mask.abs().sum() == 0
    (features.sum() + mask.sum()).backward()
    assert corners.grad is not None
    assert corners.grad.shape == corners.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_images_and_no_features_are_allowed(backend: Backend) -> None:
    scene = soup(0, channels=0)
    features, index = rasterize(8, 8, scene.z, scene.corners, scene.features, backend=backend)
    assert features.shape == (2, 8, 8, 0)
    assert (index >= 0).any()
    _, none = rasterize(8, 8, scene.z[:0], scene.corners[:0], scene.features[:0], backend=backend)
    assert none.shape == (0, 8, 8)
    assert soft_silhouette(scene.corners[:0], none, backend=backend).shape == (0, 8, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_computed_in_float32_and_its_gradients_come_back_in_half(backend: Backend) -> None:
    scene = cast(soup(0), torch.bfloat16)
    corners = scene.corners.requires_grad_()
    features, index = rasterize(16, 16, scene.z, corners, scene.features, backend=backend)
    mask = soft_silhouette(corners, index, backend=backend)
    exact = cast(scene, torch.float32)
    expected, expected_index = rasterize(16, 16, exact.z, exact.corners, exact.features, backend=backend)
    assert features.dtype == mask.dtype == torch.float32
    assert index.equal(expected_index)
    assert features.equal(expected)
    (features.sum() + mask.sum()).backward()
    assert corners.grad is not None
    assert corners.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("backend", BACKENDS)
def test_double_precision_is_kept(backend: Backend) -> None:
    scene = cast(soup(0), torch.float64)
    features, index = rasterize(16, 16, scene.z, scene.corners, scene.features.float(), backend=backend)
    assert features.dtype == torch.float64
    assert soft_silhouette(scene.corners, index, backend=backend).dtype == torch.float64


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_layout_does_not_matter(backend: Backend) -> None:
    scene = soup(0)
    features, index = rasterize(12, 20, scene.z, scene.corners, scene.features, scene.drawn, backend=backend)
    mask = soft_silhouette(scene.corners, index, backend=backend)
    assert scene.drawn is not None
    corners, z, values, drawn = (
        t.transpose(0, 1).contiguous().transpose(0, 1) for t in (scene.corners, scene.z, scene.features, scene.drawn)
    )
    again, again_index = rasterize(12, 20, z, corners, values, drawn, backend=backend)
    assert not corners.is_contiguous()
    assert again_index.equal(index)
    assert again.equal(features)
    columns_first = index.transpose(1, 2).contiguous().transpose(1, 2)
    assert soft_silhouette(corners, columns_first, backend=backend).equal(mask)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_image_equals_its_place_in_a_batch(backend: Backend) -> None:
    scene = soup(4, batch=3)
    features, index = rasterize(15, 11, scene.z, scene.corners, scene.features, backend=backend)
    for i in range(3):
        part = slice(i, i + 1)
        one, one_index = rasterize(15, 11, scene.z[part], scene.corners[part], scene.features[part], backend=backend)
        assert one_index.equal(index[part])
        assert one.equal(features[part])


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_features_and_positions_receive_gradients(backend: Backend) -> None:
    corners, z, features = (t.clone().requires_grad_() for t in soup(0)[:3])
    drawn = draw(Triangles(corners, z, features), 16, 16, None, backend)
    assert not drawn.depth.requires_grad
    drawn.features.square().sum().backward()
    assert z.grad is None
    assert corners.grad is not None
    assert corners.grad.abs().sum() > 0
    assert features.grad is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_behind_the_camera_are_drawn_unless_left_out(backend: Backend) -> None:
    corners = rectangle(-1, -1, 1, 1)[None]
    z = torch.tensor([[[-2.0] * 3, [3.0] * 3]])
    features = torch.ones(1, 2, 3, 1)
    _, index = rasterize(4, 4, z, corners, features, backend=backend)
    assert set(index.unique().tolist()) == {0, 1}, "as in Kaolin, nothing is clipped"
    _, kept = rasterize(4, 4, z, corners, features, (z < 0).all(-1), backend=backend)
    assert set(kept.unique().tolist()) == {-1, 0}


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_at_once_are_the_two_primitives(backend: Backend) -> None:
    scene = soup(5, faces=30)
    settings = {"sigmainv": 500.0, "boxlen": 0.1, "knum": 4}
    outcomes = []
    for together in (True, False):
        corners, values = scene.corners.clone().requires_grad_(), scene.features.clone().requires_grad_()
        inputs = (20, 13, scene.z, corners, values)
        if together:
            features, mask, index = dibr_rasterization(*inputs, facing(scene), **settings, rast_backend=backend)
        else:
            features, index = rasterize(*inputs, scene.drawn, backend=backend)
            mask = soft_silhouette(corners, index, **settings, backend=backend)
        gradients = torch.autograd.grad(features.square().sum() + mask.square().sum(), (corners, values))
        outcomes.append((features, index, mask, *gradients))
    for both, one_by_one in zip(*outcomes, strict=True):
        torch.testing.assert_close(both, one_by_one, rtol=1e-5, atol=1e-5)
