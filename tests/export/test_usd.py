"""USD files: usd-core's own validators find nothing, and the mesh reads back as it was."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pxr import Usd, UsdGeom, UsdShade, UsdValidation

from ganverse.errors import GanverseError
from ganverse.export import files, save_mesh
from ganverse.geometry.meshes import Mesh, sphere_template


@pytest.fixture
def mesh() -> Mesh:
    sphere = sphere_template(1)
    return sphere.with_vertices(sphere.vertices * torch.tensor([0.4, 0.3, 0.9]))


@pytest.fixture
def texture() -> torch.Tensor:
    return torch.linspace(0, 1, 3 * 8 * 8).view(3, 8, 8)


def complaints(stage: Usd.Stage) -> list[str]:
    """Of usd-core's validators, which `usdchecker` runs too."""
    registry = UsdValidation.ValidationRegistry()
    validators = registry.GetOrLoadAllValidators()
    assert len(validators) > 20
    return [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)]


@pytest.mark.parametrize("ending", files.USD_FORMATS)
def test_checked_and_read_back(tmp_path: Path, mesh: Mesh, texture: torch.Tensor, ending: str) -> None:
    path = tmp_path / f"car{ending}"
    written = save_mesh(mesh, texture, path)
    assert sorted(written) == sorted(tmp_path.iterdir())
    stage = Usd.Stage.Open(str(path))
    assert complaints(stage) == []
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    shape = UsdGeom.Mesh(stage.GetDefaultPrim().GetChild("mesh"))
    assert np.allclose(np.array(shape.GetPointsAttr().Get()), mesh.vertices[0].numpy())
    assert np.array_equal(np.array(shape.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3), mesh.faces.numpy())
    coordinates = UsdGeom.PrimvarsAPI(shape).GetPrimvar("st")
    assert np.allclose(np.array(coordinates.Get()), mesh.face_uvs.flatten(0, 1).numpy(), atol=1e-6)
    sampler = UsdShade.Shader(stage.GetPrimAtPath("/Object/material/texture"))
    assert sampler.GetInput("file").Get().resolvedPath
    if ending == ".usdz":
        with zipfile.ZipFile(path) as package:
            (picture,) = [package.read(name) for name in package.namelist() if name.endswith(".png")]
    else:
        picture = (tmp_path / f"car{ending}.png").read_bytes()
    texels = np.asarray(Image.open(io.BytesIO(picture)))
    assert np.array_equal(texels, (texture * 255).round().byte().permute(1, 2, 0).numpy())


def test_the_validators_do_find_faults(tmp_path: Path, mesh: Mesh, texture: torch.Tensor) -> None:
    save_mesh(mesh, texture, tmp_path / "car.usda")
    stage = Usd.Stage.Open(str(tmp_path / "car.usda"))
    stage.ClearDefaultPrim()
    assert complaints(stage)


def test_without_usd_core(tmp_path: Path, mesh: Mesh, texture: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GanverseError, match=r"ganverse\[usd\]"):
        save_mesh(mesh, texture, tmp_path / "car.usdz")
    assert not list(tmp_path.iterdir())
