"""The renderer (DIB-R): meshes, textures, cameras and light in; color, soft silhouette and depth out.

Light is nine spherical-harmonics coefficients; off in the paper's main model (section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.geometry.cameras import Cameras, PinholeCameras, project
from ganverse.geometry.meshes import Mesh, face_vertices, vertex_normals
from ganverse.rendering.backends import Backend
from ganverse.rendering.rasterization import draw, opaque, working_dtype
from ganverse.rendering.scene import SoftMaskSettings, Triangles

# NDC position for faces that reach behind the camera: outside every pixel's reach.
_FAR_AWAY = 1e3
# Real spherical-harmonic constants with the clamped-cosine convolution folded in (Ramamoorthi and Hanrahan 2001) and
# divided by the constant term's, so that light = (1, 0, ..., 0) leaves a texture as it is.
_BAND_1 = 2.0 / 3.0 * 3.0**0.5
_BAND_2 = 0.25 * 15.0**0.5
_BAND_2_ZZ = 0.25 * 5.0**0.5 / 2.0


@dataclass(frozen=True)
class RenderResult:
    """View of each camera; row 0 is the top.

    rgb: [0, 1] for textures in [0, 1] without light, 0 on the background.
    alpha: soft silhouette; exactly 1 on covered pixels.
    depth: distance along the viewing direction, positive; 0 on the background. No gradient.
    face_index: nearest face, -1 = background.
    With several samples per pixel, depth and face_index come from the sample to the lower right of its center (of
    the center itself for an odd number).
    """

    rgb: Float[Tensor, "batch 3 height width"]
    alpha: Float[Tensor, "batch 1 height width"]
    depth: Float[Tensor, "batch 1 height width"]
    face_index: Int64[Tensor, "batch height width"]


@opaque
def render(
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex_height tex_width"],
    cameras: Cameras | PinholeCameras,
    light: Float[Tensor, "batch 9"] | None = None,
    size: int | tuple[int, int] = 64,
    *,
    silhouette: SoftMaskSettings = SoftMaskSettings(),
    samples: int = 1,
    backend: Backend = "auto",
) -> RenderResult:
    """Renders mesh i with texture i through camera i.

    Faces that look away are not drawn; those that reach behind the camera are neither drawn nor part of the silhouette.
    Half precision is computed and returned in float32, also under autocast. If one input is float64, everything is
    computed in float64 by the slow reference backend.

    Args:
        mesh: vertices in the world frame (right-handed, +y up), finite; faces counter-clockwise seen from outside; UV
            in [0, 1], v = 1 at the top of the texture.
        texture: colors, any range (rgb keeps it), NCHW, row 0 at the top.
        cameras: `Cameras` on a sphere around the origin, or `PinholeCameras` of any pose and intrinsics, from OpenGL or
            OpenCV matrices for this image's aspect.
        light: spherical-harmonics coefficients (see `spherical_harmonics`), None = unlit texture colors.
        size: pixels per side, or (height, width).
        silhouette: softness of the silhouette.
        samples: samples per pixel side, 1..8. From 2 on, color and silhouette are means over samples x samples points:
            color edges are anti-aliased (background counts as 0), and partly covered pixels have a gradient too. The
            cost grows with samples^2; 2 is enough for images.
        backend: see `backends.choose_backend`.

    Raises:
        GanverseError: different batch sizes, non-finite vertices (names the batch index), or settings out of range.
    """
    if not len(cameras) == len(mesh.vertices) == len(texture):
        raise GanverseError(
            f"expected one camera and one texture per mesh, got {len(mesh.vertices)} meshes, {len(cameras)}"
            f" cameras and {len(texture)} textures; repeat the meshes with Mesh.repeat_interleave"
        )
    if not 1 <= samples <= 8:
        raise GanverseError(f"expected 1 to 8 samples per pixel side, got {samples}; 2 is enough for images")
    pose = cameras.distance if isinstance(cameras, Cameras) else cameras.rotation
    dtype = working_dtype(mesh.vertices, texture, pose, *(() if light is None else (light,)))
    height, width = (size, size) if isinstance(size, int) else size
    with torch.autocast(texture.device.type, enabled=False):
        result = _render(
            mesh.with_vertices(mesh.vertices.to(dtype)),
            texture.to(dtype),
            cameras.to(dtype),
            None if light is None else light.to(dtype),
            (height * samples, width * samples),
            silhouette,
            backend,
        )
    return result if samples == 1 else _pooled(result, samples)


def _render(
    mesh: Mesh,
    texture: Float[Tensor, "batch 3 tex_height tex_width"],
    cameras: Cameras | PinholeCameras,
    light: Float[Tensor, "batch 9"] | None,
    size: tuple[int, int],
    silhouette: SoftMaskSettings,
    backend: Backend,
) -> RenderResult:
    """Renders with one sample per pixel."""
    height, width = size
    image, z = project(cameras, mesh.vertices, aspect=width / height)
    corners, corners_z = face_vertices(image, mesh.faces), face_vertices(z.detach()[..., None], mesh.faces)[..., 0]
    in_front = (corners_z < 0).all(dim=-1)
    drawn = (_winding(corners.detach()) >= 0) & in_front
    if corners.is_cuda or not in_front.all():  # on CUDA the host would wait for the answer
        corners = torch.where(in_front[..., None, None], corners, _FAR_AWAY)
    features = mesh.face_uvs.expand(len(mesh.vertices), -1, -1, -1)
    if light is not None:
        normals = face_vertices(vertex_normals(mesh.vertices, mesh.faces), mesh.faces)
        features = torch.cat([features, normals], dim=-1)
    raster = draw(Triangles(corners, corners_z, features, drawn), height, width, silhouette, backend)
    assert raster.mask is not None
    rgb = texture_mapping(raster.features[..., :2], texture, "bilinear").permute(0, 3, 1, 2)
    if light is not None:
        basis = spherical_harmonics(torch.nn.functional.normalize(raster.features[..., 2:], dim=-1))
        rgb = rgb * torch.einsum("bhwk,bk->bhw", basis, light)[:, None].clamp_min(0)
    covered = (raster.face_index >= 0)[:, None]
    return RenderResult(rgb * covered, raster.mask[:, None], -raster.depth[:, None], raster.face_index)


def _winding(corners_image: Float[Tensor, "batch faces 3 2"]) -> Float[Tensor, "batch faces"]:
    """Signed area: positive for faces that look at the camera."""
    a, b, c = corners_image.unbind(dim=2)
    ab, ac = b - a, c - a
    return ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]


def _pooled(result: RenderResult, samples: int) -> RenderResult:
    """Means of color and silhouette over each pixel's samples; of the rest the sample at its center."""
    center = (..., slice(samples // 2, None, samples), slice(samples // 2, None, samples))
    return RenderResult(
        torch.nn.functional.avg_pool2d(result.rgb, samples),
        torch.nn.functional.avg_pool2d(result.alpha, samples),
        result.depth[center],
        result.face_index[center],
    )


def texture_mapping(
    texture_coordinates: Float[Tensor, "batch height width 2"],
    texture_maps: Float[Tensor, "batch channels tex_height tex_width"],
    mode: Literal["nearest", "bilinear"] = "nearest",
) -> Float[Tensor, "batch height width channels"]:
    """Texture look-up with the arguments of `kaolin.render.mesh.texture_mapping`.

    texture_coordinates: (u, v) in [0, 1], v up: (0, 0) is the lower left corner; clamped beyond the border.
    mode: as in `torch.nn.functional.grid_sample`.
    """
    grid = torch.stack([2 * texture_coordinates[..., 0] - 1, 1 - 2 * texture_coordinates[..., 1]], dim=-1)
    colors = torch.nn.functional.grid_sample(texture_maps, grid, mode, padding_mode="border", align_corners=False)
    return colors.permute(0, 2, 3, 1)


def spherical_harmonics(normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 9"]:
    """Irradiance basis at unit normals (world frame), order 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""
    x, y, z = normals.unbind(dim=-1)
    return torch.stack(
        [
            torch.ones_like(x),
            _BAND_1 * y,
            _BAND_1 * z,
            _BAND_1 * x,
            _BAND_2 * x * y,
            _BAND_2 * y * z,
            _BAND_2_ZZ * (3 * z * z - 1),
            _BAND_2 * x * z,
            _BAND_2 / 2 * (x * x - y * y),
        ],
        dim=-1,
    )


def ambient_light(batch: int, device: torch.device | str | None = None) -> Float[Tensor, "batch 9"]:
    """White ambient light: coefficients that leave a texture unchanged."""
    light = torch.zeros(batch, 9, device=device)
    light[:, 0] = 1
    return light
