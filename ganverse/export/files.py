"""Textured meshes on disk: GLB, OBJ + MTL + PNG, USD."""

from __future__ import annotations

import re
from pathlib import Path

import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.export.textured import glb_bytes, textured
from ganverse.export.usd import USD_FORMATS, usd_files
from ganverse.geometry.meshes import Mesh
from ganverse.io import write_atomically

FORMATS = (".glb", ".obj", *USD_FORMATS)


def check_format(path: Path) -> None:
    """GanverseError unless the ending of `path` is one of `FORMATS`."""
    if path.suffix.lower() not in FORMATS:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise GanverseError(f"expected an output file ending in {known}, got {path}; rename it")


def write_mesh(mesh: Mesh, texture: Float[Tensor, "3 height width"], path: Path) -> list[Path]:
    """Writes the first mesh of a batch; the ending of `path` says how. The files written, `path` first.

    OBJ brings NAME.mtl and NAME.png along, .usda and .usdc NAME.png; GLB and .usdz hold everything.

    Raises:
        GanverseError: another ending, or a USD file without usd-core.
    """
    check_format(path)
    files = mesh_files(mesh, texture, path)
    for name, data in reversed(files.items()):  # the file that names the others comes last
        write_atomically(path.with_name(name), data)
    return [path.with_name(name) for name in files]


def mesh_files(mesh: Mesh, texture: Float[Tensor, "3 height width"], path: Path) -> dict[str, bytes]:
    """The contents of all files by name."""
    ending = path.suffix.lower()
    if ending == ".glb":
        return {path.name: glb_bytes(mesh, texture)}
    if ending == ".obj":
        return _obj(textured(mesh, texture), path)
    return usd_files(mesh, texture, path)


def _obj(exported: trimesh.Trimesh, path: Path) -> dict[str, bytes]:
    exported.visual.material = _plain_material(exported.visual.material.baseColorTexture, path.stem)
    text, files = trimesh.exchange.obj.export_obj(
        exported, include_normals=True, return_texture=True, mtl_name=f"{exported.visual.material.name}.mtl"
    )
    return {path.name: text.encode(), **files}


def _plain_material(picture: Image.Image, name: str) -> trimesh.visual.material.SimpleMaterial:
    """White, so that the texture is neither paled nor darkened; many readers of OBJ stumble over spaces in names."""
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = trimesh.visual.material.SimpleMaterial(picture, diffuse=white, ambient=white, specular=black)
    material.name = re.sub(r"\s+", "_", name)
    return material
