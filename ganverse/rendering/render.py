"""The public renderer: textured meshes, cameras and light in; colour, soft silhouette and depth out (DIB-R)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, project
from ganverse.geometry.meshes import Mesh, face_vertices, vertex_normals
from ganverse.rendering.rasterization import Backend, rasterize, soft_silhouette
from ganverse.rendering.shading import spherical_harmonics
from ganverse.rendering.textures import sample_texture


@dataclass(frozen=True)
class Silhouette:
    """Softness of the silhouette's rim; see `rasterization.soft_silhouette` for ranges and what to adapt with.

    A soft rim makes the mesh shrink: keep it sharp (feasibility runs: 3D IoU 0.88 at 15000, 0.68 at 1000).
    """

    sigmainv: float = 7000.0
    boxlen: float = 0.02
    knum: int = 30


@dataclass(frozen=True)
class RenderResult:
    """What a camera sees; row 0 is the top.

    rgb: [0, 1] for textures in [0, 1] without light, 0 on the background.
    alpha: soft silhouette; exactly 1 on covered pixels.
    depth: distance along the viewing direction, positive; 0 on the background. No gradient.
    face_index: front-most face, -1 = background.
    """

    rgb: Float[Tensor, "batch 3 height width"]
    alpha: Float[Tensor, "batch 1 height width"]
    depth: Float[Tensor, "batch 1 height width"]
    face_index: Int64[Tensor, "batch height width"]


def render(
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex_height tex_width"],
    cameras: Cameras,
    light: Float[Tensor, "batch 9"] | None = None,
    size: int | tuple[int, int] = 64,
    *,
    silhouette: Silhouette = Silhouette(),
    backend: Backend = "auto",
) -> RenderResult:
    """Render mesh i with texture i through camera i.

    light: spherical-harmonic coefficients (see `shading.spherical_harmonics`), None = the texture's own colours.
    size: pixels, or (height, width). Faces that look away or reach behind the camera are not drawn.

    Raises:
        GanverseError: batch sizes that differ, or vertices that are not finite.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if not len(cameras) == len(mesh.vertices) == len(texture):
        raise GanverseError(
            f"render expects one camera and one texture per mesh, got {len(mesh.vertices)} meshes, {len(cameras)}"
            f" cameras and {len(texture)} textures: repeat the meshes with Mesh.repeat_interleave"
        )
    image, z = project(cameras, mesh.vertices, aspect=width / height)
    corners = face_vertices(torch.cat([image, z[..., None]], dim=-1), mesh.faces)
    corners_image, corners_z = corners[..., :2], corners[..., 2]
    features = _corner_features(mesh, with_normals=light is not None)
    drawn = rasterize(
        corners_image,
        corners_z,
        features,
        height,
        width,
        front_facing=(_winding(corners_image) >= 0) & (corners_z < 0).all(dim=-1),
        backend=backend,
    )
    alpha = soft_silhouette(
        corners_image,
        drawn.face_index,
        sigmainv=silhouette.sigmainv,
        boxlen=silhouette.boxlen,
        knum=silhouette.knum,
        backend=backend,
    )
    covered = (drawn.face_index >= 0)[:, None]
    rgb = sample_texture(texture, drawn.features[..., :2])
    if light is not None:
        rgb = rgb * _irradiance(drawn.features[..., 2:], light)
    return RenderResult(rgb * covered, alpha[:, None], -drawn.depth[:, None], drawn.face_index)


def _corner_features(mesh: Mesh, *, with_normals: bool) -> Float[Tensor, "batch faces 3 d"]:
    uv = mesh.face_uvs.expand(len(mesh.vertices), -1, -1, -1)
    if not with_normals:
        return uv
    normals = face_vertices(vertex_normals(mesh.vertices, mesh.faces), mesh.faces)
    return torch.cat([uv, normals], dim=-1)


def _winding(corners_image: Float[Tensor, "batch faces 3 2"]) -> Float[Tensor, "batch faces"]:
    """Signed area: positive for faces that look at the camera."""
    a, b, c = corners_image.unbind(dim=2)
    ab, ac = b - a, c - a
    return ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]


def _irradiance(
    normals: Float[Tensor, "batch height width 3"], light: Float[Tensor, "batch 9"]
) -> Float[Tensor, "batch 1 height width"]:
    basis = spherical_harmonics(torch.nn.functional.normalize(normals, dim=-1))
    return torch.einsum("bhwk,bk->bhw", basis, light)[:, None].clamp_min(0)
