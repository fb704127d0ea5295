"""The adapter to Kaolin: how it calls it, by a stand-in; what comes back, where Kaolin and a GPU are there."""

import sys
import types

import pytest
import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering import kaolin_backend, reference
from ganverse.rendering.rasterization import rasterize, soft_silhouette
from tests.rendering.random_scenes import soup


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`kaolin.render.mesh` with Kaolin 0.18's signatures, drawn by the reference."""

    def kaolin_rasterize(
        height: int,
        width: int,
        face_vertices_z: Tensor,
        face_vertices_image: Tensor,
        face_features: Tensor,
        valid_faces: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        return reference.rasterize(face_vertices_image, face_vertices_z, face_features, height, width, valid_faces)[:2]

    def dibr_soft_mask(
        face_vertices_image: Tensor,
        selected_face_idx: Tensor,
        sigmainv: float = 7000,
        boxlen: float = 0.02,
        knum: int = 30,
    ) -> Tensor:
        return reference.soft_silhouette(face_vertices_image, selected_face_idx, sigmainv, boxlen, knum, False)

    mesh = types.ModuleType("kaolin.render.mesh")
    vars(mesh).update(rasterize=kaolin_rasterize, dibr_soft_mask=dibr_soft_mask)
    render = types.ModuleType("kaolin.render")
    vars(render).update(mesh=mesh)
    for name, module in {
        "kaolin": types.ModuleType("kaolin"),
        "kaolin.render": render,
        "kaolin.render.mesh": mesh,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("stand_in")
def test_arguments_and_results_are_in_their_places() -> None:
    scene = soup(0)
    values = scene.features.clone().requires_grad_()
    z = scene.z.clone().requires_grad_()
    features, index, depth = kaolin_backend.rasterize(scene.corners, z, values, 12, 20, scene.front_facing)
    expected = reference.rasterize(scene.corners, scene.z, scene.features, 12, 20, scene.front_facing)
    assert index.equal(expected[1])
    torch.testing.assert_close(features, expected[0])
    torch.testing.assert_close(depth, expected[2])
    assert not depth.requires_grad
    features.sum().backward()
    assert z.grad is None
    assert values.grad is not None
    mask = kaolin_backend.soft_silhouette(scene.corners, index, 500.0, 0.1, 5, False)
    with pytest.raises(GanverseError, match="the nearest were asked for: use the backend 'warp'"):
        kaolin_backend.soft_silhouette(scene.corners, index, 500.0, 0.1, 5, True)
    assert mask.equal(reference.soft_silhouette(scene.corners, index, 500.0, 0.1, 5, False))


@pytest.mark.requires_kaolin
def test_kaolin_agrees_with_the_reference() -> None:
    scene = soup(0)
    corners = scene.corners.cuda().requires_grad_()
    z, values = scene.z.cuda(), scene.features.cuda()
    results = []
    for backend in ("kaolin", "reference"):
        drawn = rasterize(corners, z, values, 64, 64, backend=backend)
        mask = soft_silhouette(corners, drawn.face_index, backend=backend)
        (grad,) = torch.autograd.grad(drawn.features.square().sum() + mask.square().sum(), corners)
        results.append((drawn, mask, grad))
    (drawn, mask, grad), (expected, expected_mask, expected_grad) = results
    assert (drawn.face_index != expected.face_index).float().mean() < 1e-3
    same = drawn.face_index == expected.face_index
    torch.testing.assert_close(drawn.features[same], expected.features[same], rtol=0, atol=1e-4)
    assert (mask - expected_mask)[same].abs().max() < 1e-4
    assert (grad - expected_grad).norm() < 1e-2 * expected_grad.norm()
