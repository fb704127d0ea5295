"""The two primitives of DIB-R: which face a pixel shows, and how near an uncovered pixel is to the object.

Paper section 3.2 uses DIB-R (Chen et al. 2019); semantics are those of Kaolin's `dibr_rasterization`. Frames and
pixel centers are ganverse's: NDC x right, y up in [-1, 1]; pixel (row r, column c) has its center at
x = (2c + 1 - width) / width, y = (height - 2r - 1) / height, row 0 on top; the camera looks along -z of its own
frame, so a visible z is negative and a larger z is closer.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering.backends import Backend, implementation
from ganverse.rendering.compilation import opaque
from ganverse.rendering.perspective import nearness, unweighted, weighted
from ganverse.rendering.scene import Rasterization, Rim, Triangles


@opaque
def rasterize(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    *,
    front_facing: Bool[Tensor, "b f"] | None = None,
    perspective: bool = False,
    backend: Backend = "auto",
) -> Rasterization:
    """Draw triangles into an image, nearest face first.

    Barycentric weights are affine in the image (not perspective-corrected, as in the paper's renderer) and both
    windings are drawn. Equal z goes to the lower face index. Faces of any size may leave the image; nothing is
    clipped against the camera plane, so leave faces behind the camera out through `front_facing`.
    With `perspective`, features and depth are those of the point that the pixel's center really sees, z receives a
    gradient through the features, and faces that reach behind the camera are left out.
    The gradient is that of the shown face's interpolation; edges of faces carry none (see `soft_silhouette`).

    Args:
        face_vertices_image: corners in NDC, [-1, 1] inside the image; finite. float64 is computed by the reference;
            half precision is computed, and returned, in float32.
        face_vertices_z: camera z of the corners; negative in front of the camera, larger is closer.
        face_features: features of the corners (color, UV, normal, ...), any range.
        height: rows of the image, positive.
        width: columns of the image, positive.
        front_facing: faces to draw; None draws all. Kaolin draws those with a camera normal z >= 0.
        perspective: interpolate perspective-correctly; False is Kaolin's and the paper's way.
        backend: see `choose_backend`.

    Raises:
        GanverseError: positions that are not finite (names the batch index), an image without pixels, or a backend
            that is not there.
    """
    _check_size(height, width)
    scene = _scene(face_vertices_image, face_vertices_z, face_features, front_facing, perspective)
    return _seen(implementation(backend, scene.corners).rasterize(scene, height, width), perspective)


@opaque
def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_index: Int64[Tensor, "b h w"],
    *,
    sigmainv: float = 7000.0,
    boxlen: float = 0.02,
    knum: int = 30,
    nearest: bool = False,
    backend: Backend = "auto",
) -> Float[Tensor, "b h w"]:
    """Silhouette in [0, 1] whose rim fades outside the object, so that it can pull on faces.

    A covered pixel is exactly 1, without gradient. An uncovered one is 1 - prod_k (1 - p_k), p_k =
    exp(-sigmainv * d2_k), with d2_k the squared NDC distance to the outline of face k, over the first `knum` faces
    by index, front and back, whose bounding box enlarged by `boxlen` holds the pixel center.

    Args:
        face_vertices_image: corners in NDC, [-1, 1] inside the image; finite. dtypes as in `rasterize`.
        face_index: as returned by `rasterize`; -1 = uncovered.
        sigmainv: sharpness of the rim in 1 / NDC^2, range [3333, 33333]. A larger value makes a thinner rim and less
            bias towards a small object, but a shorter reach of the gradient; adapt `boxlen` with it.
        boxlen: reach of the rim in NDC, range [0.01, 0.2]. Large enough that exp(-sigmainv * boxlen^2) is small,
            about sqrt(3 / sigmainv); pixels and time grow with it. The rim should be at least a pixel: 2 / size.
        knum: faces a pixel listens to, range [20, 100]. Raise it with `boxlen` and with the number of faces per pixel.
        nearest: listen to the `knum` nearest such faces instead of the first by index (False: Kaolin's way). Matters
            only where more than `knum` boxes meet; slower (see docs/rendering.md). Kaolin cannot do it.
        backend: see `choose_backend`.

    Raises:
        GanverseError: positions that are not finite (names the batch index), settings out of range, or a backend
            that is not there.
    """
    rim = _rim(sigmainv, boxlen, knum, nearest)
    corners = face_vertices_image.to(_working_dtype(face_vertices_image))
    return implementation(backend, corners).soft_silhouette(corners, face_index, rim)


@opaque
def dibr(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    *,
    front_facing: Bool[Tensor, "b f"] | None = None,
    perspective: bool = False,
    sigmainv: float = 7000.0,
    boxlen: float = 0.02,
    knum: int = 30,
    nearest: bool = False,
    backend: Backend = "auto",
) -> tuple[Rasterization, Float[Tensor, "b h w"]]:
    """`rasterize`, and the `soft_silhouette` of what it drew: Kaolin's `dibr_rasterization`.

    Arguments, results and errors are those of the two; Warp does both in one walk over the images, which is sooner
    done, most of all with several threads.
    """
    _check_size(height, width)
    rim = _rim(sigmainv, boxlen, knum, nearest)
    scene = _scene(face_vertices_image, face_vertices_z, face_features, front_facing, perspective)
    drawn, mask = implementation(backend, scene.corners).dibr(scene, height, width, rim)
    return _seen(drawn, perspective), mask


def _scene(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    front_facing: Bool[Tensor, "b f"] | None,
    perspective: bool,
) -> Triangles:
    """The triangles; for perspective in the form that is affine in the image."""
    dtype = _working_dtype(face_vertices_image, face_vertices_z, face_features)
    corners, z, features = (t.to(dtype) for t in (face_vertices_image, face_vertices_z, face_features))
    scene = Triangles(corners, z, features, front_facing)
    if not perspective:
        return scene
    scene.check()  # what is not finite would not show in nearness
    in_front = (z < 0).all(-1)
    near = nearness(z, in_front)
    drawn = in_front if front_facing is None else front_facing & in_front
    return Triangles(corners, near, weighted(features, near), drawn)


def _seen(drawn: Rasterization, perspective: bool) -> Rasterization:
    """The result, out of what a backend drew of a `_scene`."""
    if not perspective:
        return drawn
    covered = drawn.face_index >= 0
    depth = torch.where(covered, -1 / drawn.depth, 0.0)
    return Rasterization(unweighted(drawn.features, covered), drawn.face_index, depth)


def _working_dtype(*tensors: Float[Tensor, "..."]) -> torch.dtype:
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise GanverseError(f"an image needs at least one row and one column, got {height} x {width}: pass its size")


def _rim(sigmainv: float, boxlen: float, knum: int, nearest: bool) -> Rim:
    if sigmainv <= 0 or boxlen < 0 or knum < 1:
        raise GanverseError(
            f"soft_silhouette needs sigmainv > 0, boxlen >= 0 and knum >= 1, got {sigmainv}, {boxlen} and {knum}:"
            " start from the defaults 7000, 0.02 and 30"
        )
    return Rim(sigmainv, boxlen, knum, nearest)
