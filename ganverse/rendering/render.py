"""The public renderer (DIB-R): meshes, textures, cameras and light in; color, soft silhouette, depth, normals out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, pixel_rays, project
from ganverse.geometry.meshes import Mesh, face_vertices, vertex_normals
from ganverse.rendering.backends import Backend
from ganverse.rendering.compilation import opaque
from ganverse.rendering.rasterization import dibr
from ganverse.rendering.shading import spherical_harmonics
from ganverse.rendering.specular import Specular, specular_radiance
from ganverse.rendering.textures import sample_texture

# Where faces that reach behind the camera are put, in NDC: no pixel listens to them.
_NOWHERE = 1e3


@dataclass(frozen=True)
class Silhouette:
    """Softness of the silhouette's rim; see `rasterization.soft_silhouette` for ranges and what to adapt with.

    A soft rim makes what is fitted to it shrink; end `SHARP`. The defaults are Kaolin's.
    """

    sigmainv: float = 7000.0
    boxlen: float = 0.02
    knum: int = 30


SHARP = Silhouette(250_000.0, 0.02)
"""Hardly wider than the object: 1 % more area on a car at 64 pixels, where 15000 has 5 % and 7000 has 8 %."""


@dataclass(frozen=True)
class Semantics:
    """What DIB-R leaves to taste; the defaults are Kaolin's.

    perspective: interpolate perspective-correctly instead of affinely in the image. Matters for large faces seen
        at a slant; color then depends on z too.
    nearest: a pixel outside listens to its `Silhouette.knum` nearest faces instead of the first ones by index.
        Matters where more boxes than that meet. Not in kaolin.
    samples: samples a side of a pixel, 1..8. From 2 on, color and silhouette are means over samples x samples points,
        so color edges are anti-aliased (background counts as 0) and a pixel that the object covers partly pulls on
        its edge. Costs samples^2; 2 is enough for pictures.
    """

    perspective: bool = False
    nearest: bool = False
    samples: int = 1


@dataclass(frozen=True)
class RenderResult:
    """What a camera sees; row 0 is the top.

    rgb: [0, 1] for textures in [0, 1] without light, 0 on the background.
    alpha: soft silhouette; exactly 1 on covered pixels.
    depth: distance along the viewing direction, positive; 0 on the background. No gradient.
    face_index: front-most face, -1 = background.
    normals: unit normals in the world frame, smooth over faces, 0 on the background; None unless asked for.
    With several samples a pixel, depth, face_index and normals are those of the sample right of and below its center
    (of the center itself for an odd number).
    """

    rgb: Float[Tensor, "batch 3 height width"]
    alpha: Float[Tensor, "batch 1 height width"]
    depth: Float[Tensor, "batch 1 height width"]
    face_index: Int64[Tensor, "batch height width"]
    normals: Float[Tensor, "batch 3 height width"] | None = None


@opaque
def render(
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex_height tex_width"],
    cameras: Cameras,
    light: Float[Tensor, "batch 9"] | None = None,
    size: int | tuple[int, int] = 64,
    *,
    specular: Specular | None = None,
    normals: bool = False,
    silhouette: Silhouette = Silhouette(),
    semantics: Semantics = Semantics(),
    backend: Backend = "auto",
) -> RenderResult:
    """Render mesh i with texture i through camera i.

    Faces that look away are not drawn; those that reach behind the camera neither are drawn nor belong to the
    silhouette. Half precision is computed and returned in float32, under autocast too; float64 stays float64.

    Args:
        mesh: vertices in the world's frame (right-handed, +y up), finite; faces counter-clockwise seen from outside;
            UV in [0, 1], v = 1 on top of the texture.
        texture: colors, any range (rgb keeps it), NCHW, row 0 on top.
        cameras: on spheres round the origin; see `geometry.cameras.Cameras`.
        light: spherical-harmonic coefficients (see `shading.spherical_harmonics`), None = the texture's own colors.
        size: pixels a side, or (height, width).
        specular: highlights added on top, None = a matt object.
        normals: whether the result holds normals.
        silhouette: softness of the rim.
        semantics: where to differ from Kaolin.
        backend: see `backends.choose_backend`.

    Raises:
        GanverseError: batch sizes that differ, vertices that are not finite (names the batch index), or settings out
            of range.
    """
    if not len(cameras) == len(mesh.vertices) == len(texture):
        raise GanverseError(
            f"render expects one camera and one texture per mesh, got {len(mesh.vertices)} meshes, {len(cameras)}"
            f" cameras and {len(texture)} textures: repeat the meshes with Mesh.repeat_interleave"
        )
    samples = semantics.samples
    if not 1 <= samples <= 8:
        raise GanverseError(f"render takes 1 to 8 samples a side of a pixel, got {samples}: 2 is enough for pictures")
    height, width = (size, size) if isinstance(size, int) else size
    with torch.autocast(texture.device.type, enabled=False):
        mesh = mesh.with_vertices(_full(mesh.vertices))
        cameras = Cameras(*(_full(x) for x in (cameras.azimuth, cameras.elevation, cameras.distance, cameras.offset)))
        drawn = _render(
            mesh,
            _full(texture),
            cameras,
            None if light is None else _full(light),
            (height * samples, width * samples),
            specular=specular,
            normals=normals,
            silhouette=silhouette,
            semantics=semantics,
            backend=backend,
        )
    return drawn if samples == 1 else _pooled(drawn, samples)


def _full(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Half precision becomes float32."""
    return values if values.dtype == torch.float64 else values.float()


def _render(
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex_height tex_width"],
    cameras: Cameras,
    light: Float[Tensor, "batch 9"] | None,
    size: tuple[int, int],
    *,
    specular: Specular | None,
    normals: bool,
    silhouette: Silhouette,
    semantics: Semantics,
    backend: Backend,
) -> RenderResult:
    """One sample a pixel."""
    height, width = size
    image, z = project(cameras, mesh.vertices, aspect=width / height)
    corners_image, corners_z = face_vertices(image, mesh.faces), face_vertices(z[..., None], mesh.faces)[..., 0]
    in_front = (corners_z < 0).all(dim=-1)
    with_normals = normals or light is not None or specular is not None
    drawn, alpha = dibr(
        _without(corners_image, ~in_front),
        corners_z,
        _corner_features(mesh, with_normals=with_normals),
        height,
        width,
        front_facing=(_winding(corners_image) >= 0) & in_front,
        perspective=semantics.perspective,
        sigmainv=silhouette.sigmainv,
        boxlen=silhouette.boxlen,
        knum=silhouette.knum,
        nearest=semantics.nearest,
        backend=backend,
    )
    covered = (drawn.face_index >= 0)[:, None]
    rgb = sample_texture(texture, drawn.features[..., :2])
    seen_normals = torch.nn.functional.normalize(drawn.features[..., 2:], dim=-1) if with_normals else None
    if light is not None and seen_normals is not None:
        rgb = rgb * _irradiance(seen_normals, light)
    if specular is not None and seen_normals is not None:
        rgb = rgb + specular_radiance(specular, seen_normals, -pixel_rays(cameras, height, width))[:, None]
    return RenderResult(
        rgb * covered,
        alpha[:, None],
        -drawn.depth[:, None],
        drawn.face_index,
        seen_normals.permute(0, 3, 1, 2) if normals and seen_normals is not None else None,
    )


def _pooled(result: RenderResult, samples: int) -> RenderResult:
    """Means of color and silhouette over each pixel's samples; of the rest the sample at its center."""
    center = (..., slice(samples // 2, None, samples), slice(samples // 2, None, samples))
    return RenderResult(
        torch.nn.functional.avg_pool2d(result.rgb, samples),
        torch.nn.functional.avg_pool2d(result.alpha, samples),
        result.depth[center],
        result.face_index[center],
        None if result.normals is None else result.normals[center],
    )


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


def _without(
    corners_image: Float[Tensor, "batch faces 3 2"], faces: Bool[Tensor, "batch faces"]
) -> Float[Tensor, "batch faces 3 2"]:
    """The same corners with some faces put out of everybody's reach; indices stay."""
    if not bool(faces.any()):
        return corners_image
    return torch.where(faces[..., None, None], _NOWHERE, corners_image)


def _irradiance(
    normals: Float[Tensor, "batch height width 3"], light: Float[Tensor, "batch 9"]
) -> Float[Tensor, "batch 1 height width"]:
    return torch.einsum("bhwk,bk->bhw", spherical_harmonics(normals), light)[:, None].clamp_min(0)
