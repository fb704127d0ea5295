"""Textured meshes on disk: GLB, OBJ + MTL + PNG, USD.

glTF's frame is ours (right-handed, +y up, front +z, faces counter-clockwise), so vertices stay unchanged. Only the
texture coordinate is flipped, because glTF's v points down; trimesh does this when writing GLB. USD has our frame and
texture origin. A .usdz is one file that opens on phones; .usda and .usdc have the texture beside them. In USD the mesh
keeps its closed topology: vertices are shared, texture coordinates belong to face corners.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError, brief
from ganverse.geometry.meshes import Mesh, vertex_normals
from ganverse.io import png_bytes, to_pil, write_together

USD_FORMATS = (".usdz", ".usda", ".usdc")
_ROOT = "/Object"
_FARTHEST = 1e9  # world units
FORMATS = (".glb", ".obj", *USD_FORMATS)
"""File endings that `save_mesh` supports."""


def check_format(path: Path) -> None:
    """GanverseError unless the ending of `path` is one of `FORMATS`."""
    if path.suffix.lower() not in FORMATS:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise GanverseError(f"expected an output file ending in {known}, got {path}; rename it")


def save_mesh(mesh: Mesh, texture: Float[Tensor, "3 height width"], path: Path | str) -> list[Path]:
    """Writes the first mesh of a batch; the ending of `path` selects the format.

    GLB and .usdz are single files. NAME.obj comes with NAME.obj.mtl and NAME.obj.png, NAME.usda (.usdc) with
    NAME.usda.png, so no two outputs in a folder share a file. Characters other than letters, digits and `_.-~` in the
    names of side files are encoded, such as `=20` for a space, because many OBJ readers do not support spaces.

    Args:
        mesh: world frame, see docs/conventions.md; texture coordinates are clamped to [0, 1].
        texture: RGB in [0, 1], row 0 at v = 1; values outside are clamped.
        path: missing folders are created; an existing file is replaced.

    Returns:
        The files written, `path` first.

    Raises:
        GanverseError: another ending, a USD file without usd-core, or non-finite vertices.
    """
    path = Path(path)
    check_format(path)
    ending, side = path.suffix.lower(), quote(path.name, safe="").replace("%", "=")
    if ending == ".glb":
        files = {path.name: glb_bytes(mesh, texture)}
    elif ending == ".obj":
        files = _obj_files(mesh, texture, path.name, side)
    else:
        files = usd_files(mesh, png_bytes(texture), path, f"{side}.png")
    written = [path.with_name(name) for name in files]
    write_together(dict(zip(reversed(written), reversed(files.values()), strict=True)))
    return written


def to_trimesh(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> trimesh.Trimesh:
    """The first mesh of a batch with its texture (row 0 at v = 1) as a trimesh object.

    Vertices on the chart's seam are duplicated, one per texture coordinate. Their normals are those of the closed
    surface, so the seam is invisible.
    """
    corners = torch.cat(
        [mesh.faces.flatten()[:, None].double(), mesh.face_uvs.flatten(0, 1).clamp(0, 1).double()], dim=1
    )
    unique, index = corners.unique(dim=0, return_inverse=True)
    origin = unique[:, 0].long()
    normals = unit_normals(mesh)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=to_pil(texture), metallicFactor=0.0, roughnessFactor=0.9
    )
    return trimesh.Trimesh(
        vertices=mesh.vertices[0].detach()[origin].cpu().numpy(),
        faces=index.view(-1, 3).cpu().numpy(),
        vertex_normals=normals[origin].cpu().numpy(),
        visual=trimesh.visual.TextureVisuals(uv=unique[:, 1:].float().cpu().numpy(), material=material),
        process=False,
    )


def glb_bytes(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> bytes:
    """The first mesh of a batch with its texture as one binary glTF 2.0 file."""
    data: bytes = to_trimesh(mesh, texture).export(file_type="glb", include_normals=True)
    return data


def _obj_files(mesh: Mesh, texture: Float[Tensor, "3 height width"], name: str, side: str) -> dict[str, bytes]:
    exported = to_trimesh(mesh, texture)
    # White, so that the material does not change the texture's brightness.
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = trimesh.visual.material.SimpleMaterial(to_pil(texture), diffuse=white, ambient=white, specular=black)
    material.name = side
    exported.visual.material = material
    text, files = trimesh.exchange.obj.export_obj(
        exported, include_normals=True, return_texture=True, mtl_name=f"{side}.mtl"
    )
    return {name: text.encode(), **files}


def usd_files(mesh: Mesh, png: bytes, path: Path, side: str) -> dict[str, bytes]:
    """Contents of the files for `path` (ending in one of `USD_FORMATS`), by name.

    png: the texture. side: name of the texture's file beside `path`.

    Raises:
        GanverseError: usd-core is not installed, or the temporary folder is full.
    """
    if importlib.util.find_spec("pxr") is None:
        raise GanverseError(
            f"expected usd-core to write {path}, found none; pip install 'ganverse[usd]', or write .glb"
        )
    from pxr import Tf, Usd, UsdUtils

    packed = path.suffix.lower() == ".usdz"
    picture = "texture.png" if packed else side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / picture).write_bytes(png)
        layer = folder / ("object.usdc" if packed else path.name)
        stage = Usd.Stage.CreateNew(str(layer))
        _describe(stage, mesh, picture)
        package = folder / "package.usdz"
        try:
            stage.GetRootLayer().Save()
            if not packed:
                return {path.name: layer.read_bytes(), picture: png}
            UsdUtils.CreateNewUsdzPackage(str(layer), str(package))
            zipfile.ZipFile(package).close()  # usd-core does not report a truncated package
        except (Tf.ErrorException, zipfile.BadZipFile) as error:
            raise GanverseError(
                f"expected free disk space in {folder.parent} to write {path}, got: {brief(error)}; free some, or "
                "set TMPDIR"
            ) from error
        return {path.name: package.read_bytes()}


def unit_normals(mesh: Mesh) -> Float[Tensor, "verts 3"]:
    """Normals of the first mesh, +y for vertices of zero-area faces: readers accept unit vectors only.

    Raises:
        GanverseError: vertices that are not finite, or too large for their squares to be stored.
    """
    if not bool((mesh.vertices[:1].abs() < _FARTHEST).all()):
        raise GanverseError(f"expected vertices within {_FARTHEST:g} of the origin to write a mesh, got others")
    normals = vertex_normals(mesh.vertices[:1].detach().double(), mesh.faces)[0].float()
    up = torch.tensor([0.0, 1.0, 0.0], device=normals.device)
    return torch.where(normals.norm(dim=1, keepdim=True) > 0.5, normals, up)


def _describe(stage: Any, mesh: Mesh, picture: str) -> None:
    """Adds a model of one mesh with one material to an empty `Usd.Stage`."""
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
    """Matte UsdPreviewSurface whose color comes from `picture` through the primvar st."""
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
