"""DIB-R's primitives for projected triangles, with names, arguments and results of `kaolin.render.mesh`.

Paper section 3.2 uses DIB-R (Chen et al. 2019). `dibr_rasterization` documents the arguments of all three.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering.backends import Backend, implementation
from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles

P = ParamSpec("P")
R = TypeVar("R")

KaolinBackend = Literal["cuda", "nvdiffrast", "nvdiffrast_fwd"]


def opaque(function: Callable[P, R]) -> Callable[P, R]:
    """Makes torch.compile call the function instead of tracing it (kernels and checks cannot be traced)."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_dynamo_compiling():
            # Imported here, because the decorator would import the whole compiler with the renderer.
            opaque_function: Callable[P, R] = torch.compiler.disable(function)
            return opaque_function(*args, **kwargs)
        return function(*args, **kwargs)

    return call


@opaque
def dibr_rasterization(
    height: int,
    width: int,
    face_vertices_z: Float[Tensor, "b f 3"],
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_features: Float[Tensor, "b f 3 d"] | Sequence[Float[Tensor, "b f 3 _"]],
    face_normals_z: Float[Tensor, "b f"],
    sigmainv: float = 7000,
    boxlen: float = 0.02,
    knum: int = 30,
    multiplier: float | None = None,
    eps: float | None = None,
    rast_backend: Backend | KaolinBackend = "cuda",
) -> tuple[
    Float[Tensor, "b h w d"] | tuple[Float[Tensor, "b h w _"], ...], Float[Tensor, "b h w"], Int64[Tensor, "b h w"]
]:
    """`rasterize` of the faces that look at the camera, and `soft_silhouette` of the result, in one pass.

    float64 is computed by the reference backend; half precision is computed and returned in float32.

    Args:
        height: number of image rows, positive.
        width: number of image columns, positive.
        face_vertices_z: camera z of the corners; negative in front of the camera, a larger z is closer; finite. Nothing
            is clipped at the camera plane: omit faces that reach behind the camera.
        face_vertices_image: corners in NDC, x right, y up, [-1, 1] inside the image; finite; may lie outside the image.
            Pixel (row r, column c) has its center at x = (2c + 1 - width) / width, y = (height - 2r - 1) / height.
        face_features: features of the corners (color, UV, normal, ...), any range; or several such tensors.
        face_normals_z: camera-frame z of the face normals; faces with z >= 0 are drawn. The silhouette includes all
            faces.
        sigmainv: sharpness of the silhouette; see `SoftMaskSettings`, also for boxlen and knum.
        boxlen: reach of the silhouette in NDC.
        knum: faces per pixel.
        multiplier: Kaolin's scale against rounding errors; no effect here.
        eps: Kaolin's minimum area; no effect here.
        rast_backend: see `backends.choose_backend`; Kaolin's names mean "auto", on any device.

    Returns:
        Interpolated features, 0 on the background (a tuple for several `face_features`); the soft silhouette in [0, 1];
        the index of the visible face, -1 on the background.

    Raises:
        GanverseError: non-finite positions (names the batch index), inconsistent tensors, an empty image, settings out
            of range, or an unavailable backend.
    """
    features, restore = _joined(face_features)
    scene = Triangles(face_vertices_image, face_vertices_z, features, face_normals_z >= 0)
    drawn = draw(scene, height, width, SoftMaskSettings(sigmainv, boxlen, knum), rast_backend)
    assert drawn.mask is not None
    return restore(drawn.features), drawn.mask, drawn.face_index


@opaque
def rasterize(
    height: int,
    width: int,
    face_vertices_z: Float[Tensor, "b f 3"],
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_features: Float[Tensor, "b f 3 d"] | Sequence[Float[Tensor, "b f 3 _"]],
    valid_faces: Bool[Tensor, "b f"] | None = None,
    multiplier: float | None = None,
    eps: float | None = None,
    backend: Backend | KaolinBackend = "cuda",
) -> tuple[Float[Tensor, "b h w d"] | tuple[Float[Tensor, "b h w _"], ...], Int64[Tensor, "b h w"]]:
    """Rasterizes triangles, nearest face first.

    Barycentric weights are affine in the image (not perspective-corrected, as in the paper's renderer), and both
    windings are drawn. Equal z goes to the lower face index. Gradients are those of the visible face's interpolation,
    with respect to features and image positions; face edges have none (see `soft_silhouette`).

    Arguments, results and errors as in `dibr_rasterization`; valid_faces: faces to draw, None draws all.
    """
    features, restore = _joined(face_features)
    drawn = draw(Triangles(face_vertices_image, face_vertices_z, features, valid_faces), height, width, None, backend)
    return restore(drawn.features), drawn.face_index


@opaque
def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    selected_face_idx: Int64[Tensor, "b h w"],
    sigmainv: float = 7000,
    boxlen: float = 0.02,
    knum: int = 30,
    multiplier: float | None = None,
    backend: Backend | KaolinBackend = "cuda",
) -> Float[Tensor, "b h w"]:
    """Silhouette in [0, 1] that fades outside the object, so that it has a gradient; Kaolin's `dibr_soft_mask`.

    A covered pixel is exactly 1, without gradient. An uncovered one is 1 - prod_k (1 - p_k), p_k =
    exp(-sigmainv * d2_k), with d2_k the squared NDC distance to the outline of face k, over the first `knum` faces
    by index, front and back, whose bounding box enlarged by `boxlen` contains the pixel center.

    Arguments and errors as in `dibr_rasterization`; selected_face_idx: face indices from `rasterize`.
    """
    corners, index = face_vertices_image.to(working_dtype(face_vertices_image)), selected_face_idx
    if corners.shape[2:] != (3, 2) or index.ndim != 3 or len(index) != len(corners) or index.device != corners.device:
        raise GanverseError(
            "expected face_vertices_image of (batch, faces, 3, 2) and selected_face_idx of (batch, height, width) on"
            f" one device, got {tuple(corners.shape)} on {corners.device} and {tuple(index.shape)} on {index.device}"
        )
    settings = SoftMaskSettings(sigmainv, boxlen, knum)
    return implementation(_ours(backend), corners).soft_silhouette(corners, index.long(), settings)


dibr_soft_mask = soft_silhouette  # Kaolin's name


def draw(
    scene: Triangles,
    height: int,
    width: int,
    soft_mask: SoftMaskSettings | None = None,
    backend: Backend | KaolinBackend = "auto",
) -> Rasterization:
    """Draws triangles of any dtype with a backend, including depth; shared by the primitives and `render`."""
    if height < 1 or width < 1:
        raise GanverseError(f"expected an image of at least one row and one column, got {height} x {width}")
    scene.check_shapes()
    dtype = working_dtype(scene.corners, scene.z, scene.features)
    scene = Triangles(scene.corners.to(dtype), scene.z.to(dtype), scene.features.to(dtype), scene.drawn)
    return implementation(_ours(backend), scene.corners).rasterize(scene, height, width, soft_mask)


def working_dtype(*tensors: Float[Tensor, "..."]) -> torch.dtype:
    """Common dtype of a computation: float64 if any tensor has it, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def _ours(backend: Backend | KaolinBackend) -> Backend:
    match backend:
        case "cuda" | "nvdiffrast" | "nvdiffrast_fwd":
            return "auto"
        case _:
            return backend


def _joined(features: Tensor | Sequence[Tensor]) -> tuple[Tensor, Callable[[Tensor], Tensor | tuple[Tensor, ...]]]:
    """All features in one tensor, and a function that splits their image again."""
    if isinstance(features, Tensor):
        return features, lambda image: image
    channels = [each.shape[-1] for each in features]
    return torch.cat(list(features), dim=-1), lambda image: image.split(channels, dim=-1)
