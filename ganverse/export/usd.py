"""Textured meshes as USD: .usdz (one file, opens on phones), or .usda / .usdc with the texture beside them.

The mesh keeps its closed topology: vertices are shared, texture coordinates belong to face corners. USD's frame is ours
(right-handed, +y up), its texture origin too (lower left).
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.meshes import Mesh, vertex_normals

USD_FORMATS = (".usdz", ".usda", ".usdc")
_ROOT = "/Object"
_FARTHEST = 1e9  # world units


def usd_files(mesh: Mesh, png: bytes, path: Path, side: str) -> dict[str, bytes]:
    """The contents of the files that `path` (ending in one of `USD_FORMATS`) stands for, by name.

    png: the texture. side: name of the texture's file where it lies beside `path`.

    Raises:
        GanverseError: usd-core is not installed.
    """
    if importlib.util.find_spec("pxr") is None:
        raise GanverseError(
            f"expected usd-core to write {path}, found none; pip install 'ganverse[usd]', or write .glb"
        )
    from pxr import Usd, UsdUtils

    packed = path.suffix.lower() == ".usdz"
    picture = "texture.png" if packed else side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / picture).write_bytes(png)
        layer = folder / ("object.usdc" if packed else path.name)
        stage = Usd.Stage.CreateNew(str(layer))
        _describe(stage, mesh, picture)
        stage.GetRootLayer().Save()
        if not packed:
            return {path.name: layer.read_bytes(), picture: png}
        package = folder / "package.usdz"
        UsdUtils.CreateNewUsdzPackage(str(layer), str(package))
        return {path.name: package.read_bytes()}


def unit_normals(mesh: Mesh) -> Float[Tensor, "verts 3"]:
    """Normals of the first mesh, +y where faces without area leave none: readers refuse others than unit vectors.

    Raises:
        GanverseError: vertices that are not finite, or so far away that files cannot hold their squares.
    """
    if not bool((mesh.vertices[:1].abs() < _FARTHEST).all()):
        raise GanverseError(f"expected vertices within {_FARTHEST:g} of the origin to write a mesh, got others")
    normals = vertex_normals(mesh.vertices[:1].detach().double(), mesh.faces)[0].float()
    up = torch.tensor([0.0, 1.0, 0.0], device=normals.device)
    return torch.where(normals.norm(dim=1, keepdim=True) > 0.5, normals, up)


def _describe(stage: Any, mesh: Mesh, picture: str) -> None:
    """A model of one mesh with one material into an empty `Usd.Stage`."""
    from pxr import Kind, Usd, UsdGeom, UsdShade

    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, _ROOT)
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
    stage.SetDefaultPrim(root.GetPrim())
    shape = _shape(stage, mesh)
    UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(_material(stage, picture))


def _shape(stage: Any, mesh: Mesh) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    vertices = mesh.vertices[:1].detach().float()
    shape = UsdGeom.Mesh.Define(stage, f"{_ROOT}/mesh")
    points = Vt.Vec3fArray.FromNumpy(vertices[0].cpu().numpy())
    shape.CreatePointsAttr(points)
    shape.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(points))
    shape.CreateFaceVertexCountsAttr(Vt.IntArray([3] * len(mesh.faces)))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.flatten().int().cpu().numpy()))
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    shape.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(unit_normals(mesh).cpu().numpy()))
    shape.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    coordinates = UsdGeom.PrimvarsAPI(shape).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
    )
    coordinates.Set(Vt.Vec2fArray.FromNumpy(mesh.face_uvs.flatten(0, 1).clamp(0, 1).float().cpu().numpy()))
    return shape


def _material(stage: Any, picture: str) -> Any:
    """UsdPreviewSurface, matt, its color from `picture` through the primvar st."""
    from pxr import Gf, Sdf, UsdShade

    types = Sdf.ValueTypeNames
    material = UsdShade.Material.Define(stage, f"{_ROOT}/material")
    surface, reader, sampler = (
        UsdShade.Shader.Define(stage, f"{_ROOT}/material/{name}") for name in ("surface", "coordinates", "texture")
    )
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(0.9)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", types.String).Set("st")
    sampler.CreateIdAttr("UsdUVTexture")
    sampler.CreateInput("file", types.Asset).Set(f"./{picture}")
    sampler.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    sampler.CreateInput("fallback", types.Float4).Set(Gf.Vec4f(0.5, 0.5, 0.5, 1.0))
    for axis in ("wrapS", "wrapT"):
        sampler.CreateInput(axis, types.Token).Set("clamp")
    sampler.CreateInput("st", types.Float2).ConnectToSource(reader.CreateOutput("result", types.Float2))
    surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(sampler.CreateOutput("rgb", types.Float3))
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return material
