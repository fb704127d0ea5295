"""The adapter to Kaolin: how it calls it, by a stand-in; what comes back, where Kaolin and a GPU are there."""

import sys
import types

import pytest
import torch
from torch import Tensor

from ganverse.rendering import kaolin_backend, reference
from ganverse.rendering.rasterization import draw
from ganverse.rendering.scene import SoftMaskSettings, Triangles
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
        scene = Triangles(face_vertices_image, face_vertices_z, face_features, valid_faces)
        drawn = reference.rasterize(scene, height, width)
        return drawn.features, drawn.face_index

    def dibr_soft_mask(
        face_vertices_image: Tensor,
        selected_face_idx: Tensor,
        sigmainv: float = 7000,
        boxlen: float = 0.02,
        knum: int = 30,
    ) -> Tensor:
        return reference.soft_silhouette(
            face_vertices_image, selected_face_idx, SoftMaskSettings(sigmainv, boxlen, knum)
        )

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
    settings = SoftMaskSettings(500.0, 0.1, 5)
    drawn = kaolin_backend.rasterize(scene._replace(z=z, features=values), 12, 20, settings)
    expected = reference.rasterize(scene, 12, 20, settings)
    assert drawn.face_index.equal(expected.face_index)
    torch.testing.assert_close(drawn.features, expected.features)
    torch.testing.assert_close(drawn.depth, expected.depth)
    assert drawn.mask is not None
    assert expected.mask is not None
    assert drawn.mask.equal(expected.mask)
    assert not drawn.depth.requires_grad
    drawn.features.sum().backward()
    assert z.grad is None
    assert values.grad is not None


@pytest.mark.requires_kaolin
def test_kaolin_agrees_with_the_reference() -> None:
    scene = soup(0)
    corners = scene.corners.cuda().requires_grad_()
    z, values = scene.z.cuda(), scene.features.cuda()
    results = []
    for backend in ("kaolin", "reference"):
        drawn = draw(Triangles(corners, z, values), 64, 64, SoftMaskSettings(), backend)
        (grad,) = torch.autograd.grad(drawn.features.square().sum() + drawn.mask.square().sum(), corners)
        results.append((drawn, drawn.mask, grad))
    (drawn, mask, grad), (expected, expected_mask, expected_grad) = results
    assert (drawn.face_index != expected.face_index).float().mean() < 1e-3
    same = drawn.face_index == expected.face_index
    torch.testing.assert_close(drawn.features[same], expected.features[same], rtol=0, atol=1e-4)
    assert (mask - expected_mask)[same].abs().max() < 1e-4
    assert (grad - expected_grad).norm() < 1e-2 * expected_grad.norm()
