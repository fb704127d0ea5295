"""Textured meshes on disk: GLB, OBJ + MTL + PNG, USD.

glTF's frame is ours (right-handed, +y up, front +z, faces counter-clockwise), so vertices go out as they are. Only the
texture coordinate is flipped, since glTF's v points down; trimesh does that when it writes GLB.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.export.usd import USD_FORMATS, unit_normals, usd_files
from ganverse.geometry.meshes import Mesh
from ganverse.io import png_bytes, to_pil, write_atomically

FORMATS = (".glb", ".obj", *USD_FORMATS)
"""Endings of the files that `save_mesh` writes."""


def check_format(path: Path) -> None:
    """GanverseError unless the ending of `path` is one of `FORMATS`."""
    if path.suffix.lower() not in FORMATS:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise GanverseError(f"expected an output file ending in {known}, got {path}; rename it")


def save_mesh(mesh: Mesh, texture: Float[Tensor, "3 height width"], path: Path | str) -> list[Path]:
    """Write the first mesh of a batch; the ending of `path` selects the format.

    GLB and .usdz hold everything. NAME.obj brings NAME.obj.mtl and NAME.obj.png along, NAME.usda (.usdc) its
    NAME.usda.png: no two outputs of a folder share a file. In names of side files other characters than letters, digits
    and `_.-~` are encoded as in `=20` for a space, because many readers of OBJ stumble over spaces.

    Args:
        mesh: world frame, see docs/conventions.md; texture coordinates are clamped to [0, 1].
        texture: RGB in [0, 1], row 0 at v = 1; values outside are clamped.
        path: missing folders are made; an existing file is replaced.

    Returns:
        The files written, `path` first.

    Raises:
        GanverseError: another ending, a USD file without usd-core, or vertices that are not finite.
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
    for name, data in reversed(files.items()):  # the file that names the others comes last
        write_atomically(path.with_name(name), data)
    return [path.with_name(name) for name in files]


def to_trimesh(mesh: Mesh, texture: Float[Tensor, "3 height width"]) -> trimesh.Trimesh:
    """The first mesh of a batch with its texture (row 0 at v = 1) as a trimesh object.

    A vertex on the chart's seam is doubled, once per texture coordinate; its normal stays that of the closed surface,
    so the seam does not show.
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
    # White, so that the material neither brightens nor darkens the texture.
    white, black = [255, 255, 255, 255], [0, 0, 0, 255]
    material = trimesh.visual.material.SimpleMaterial(to_pil(texture), diffuse=white, ambient=white, specular=black)
    material.name = side
    exported.visual.material = material
    text, files = trimesh.exchange.obj.export_obj(
        exported, include_normals=True, return_texture=True, mtl_name=f"{side}.mtl"
    )
    return {name: text.encode(), **files}
