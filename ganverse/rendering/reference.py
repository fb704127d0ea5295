"""DIB-R in plain PyTorch: the slow, simple oracle for all kernels in the tests.

Works in float32 and float64 on any device. Every face is expanded into fragments (face, pixel) of its bounding box, so
memory grows with the number of fragments, not with faces x pixels. Nearest faces and relevant fragments are found
without gradients; autograd differentiates the rest, independently of the closed forms in the fast kernels. Paper
section 3.2 (DIB-R, Chen et al. 2019).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ganverse.geometry.cameras import pixel_axes
from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles, check_finite

# Twice the area in NDC^2 below which a face is not drawn and its corners get no gradient (which would be unbounded;
# Kaolin's epsilons bound it too).
NO_AREA = 1e-20
FLAT = 1e-8
# Kaolin adds 1e-8 to squared lengths measured in thousandths of an NDC unit, and to 1 - p.
LENGTH_EPS = 1e-14
PROBABILITY_EPS = 1e-8


@dataclass(frozen=True)
class Fragments:
    """Pairs of a face and a pixel, in ascending order of the face.

    face: row of the flattened (batch * faces) list. pixel: index in the flattened (batch, height, width) image.
    x, y: pixel center in NDC.
    """

    face: Int64[Tensor, " n"]
    pixel: Int64[Tensor, " n"]
    x: Float[Tensor, " n"]
    y: Float[Tensor, " n"]


def box_fragments(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    height: int,
    width: int,
    *,
    margin: float = 0.0,
    drawn: Bool[Tensor, "b f"] | None = None,
    open_pixels: Bool[Tensor, "b h w"] | None = None,
) -> Fragments:
    """Fragments of the half-open boxes `[min - margin, max + margin)` of the drawn faces, on open pixels."""
    batch, faces = face_vertices_image.shape[:2]
    x_of_column, y_of_row = _axes(height, width, face_vertices_image)
    low = (face_vertices_image.amin(2) - margin).reshape(-1, 2)
    high = (face_vertices_image.amax(2) + margin).reshape(-1, 2)
    # searchsorted compares with the pixel centers themselves, so the boxes are exactly half-open.
    first_column, end_column = (torch.searchsorted(x_of_column, edge[:, 0].contiguous()) for edge in (low, high))
    end_row, first_row = (
        height - torch.searchsorted(y_of_row.flip(0), edge[:, 1].contiguous()) for edge in (low, high)
    )
    columns = end_column - first_column
    rows = end_row - first_row if drawn is None else (end_row - first_row) * drawn.reshape(-1)

    # Faces become spans (one per row of their box), spans become pixels.
    span_face, row_in_box = _expand(rows * (columns > 0))
    row = first_row[span_face] + row_in_box
    row_start = (span_face // max(faces, 1) * height + row) * width
    span, column_in_box = _expand(columns[span_face])
    pixel = (row_start + first_column[span_face]).index_select(0, span) + column_in_box
    if open_pixels is not None:
        index = open_pixels.reshape(-1).index_select(0, pixel).nonzero().squeeze(1)
        span, pixel = span.index_select(0, index), pixel.index_select(0, index)
    x = x_of_column.index_select(0, pixel - row_start.index_select(0, span))
    return Fragments(span_face.index_select(0, span), pixel, x, y_of_row[row].index_select(0, span))


def _expand(counts: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " total"], Int64[Tensor, " total"]]:
    """Repeats row i counts[i] times: the row of every copy, and its rank among the copies of that row."""
    row = torch.repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    return row, torch.arange(row.numel(), device=row.device) - first.index_select(0, row)


def _axes(height: int, width: int, like: Tensor) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    return pixel_axes(height, width, dtype=like.dtype, device=like.device)


def edge_functions(
    corners: Float[Tensor, "n 3 2"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """Twice the signed areas of (pixel, edge opposite corner i) and of the face, with signs such that the latter is >=
    0.

    Their ratios are the barycentric weights, affine in the image (not perspective-corrected).
    """
    (ax, ay), (bx, by), (cx, cy) = (corner.unbind(1) for corner in corners.unbind(1))
    m, p, n, q, s, t = bx - ax, by - ay, cx - ax, cy - ay, x - ax, y - ay
    area = m * q - n * p
    turn = torch.where(area < 0, -1.0, 1.0)
    second, third = s * q - n * t, m * t - s * p
    return torch.stack((area - second - third, second, third), 1) * turn.unsqueeze(1), area * turn


def rasterize(scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None = None) -> Rasterization:
    """See `backends.Implementation`."""
    scene.check_finite()
    batch, faces, _, channels = scene.features.shape
    winner, depth = _visible(scene, height, width)
    pixel = (winner >= 0).nonzero().squeeze(1)
    face = winner[pixel]

    x_of_column, y_of_row = _axes(height, width, scene.corners)
    x = x_of_column.expand(batch, height, width).reshape(-1)[pixel]
    y = y_of_row.unsqueeze(1).expand(batch, height, width).reshape(-1)[pixel]
    corners = _detach_flat_faces(scene.corners).flatten(0, 1).index_select(0, face)
    areas, area = edge_functions(corners, x, y)
    weights = areas / area.unsqueeze(1)
    values = scene.features.flatten(0, 1).index_select(0, face)
    features = values.new_zeros(batch * height * width, channels)
    features = features.index_copy(0, pixel, (weights.unsqueeze(2) * values).sum(1))

    first_face = torch.arange(batch, device=winner.device).view(batch, 1, 1) * faces
    index = winner.view(batch, height, width)
    index = torch.where(index >= 0, index - first_face, index)
    mask = None if soft_mask is None else soft_silhouette(scene.corners, index, soft_mask)
    return Rasterization(features.view(batch, height, width, channels), index, depth.view(batch, height, width), mask)


def _detach_flat_faces(face_vertices_image: Float[Tensor, "b f 3 2"]) -> Float[Tensor, "b f 3 2"]:
    """The same corners; those of degenerate faces pass no gradient."""
    a, b, c = face_vertices_image.detach().unbind(2)
    (m, p), (n, q) = (b - a).unbind(2), (c - a).unbind(2)
    flat = (m * q - n * p).abs() < FLAT
    return torch.where(flat[..., None, None], face_vertices_image.detach(), face_vertices_image)


@torch.no_grad()
def _visible(scene: Triangles, height: int, width: int) -> tuple[Int64[Tensor, " pixels"], Float[Tensor, " pixels"]]:
    """Nearest face of every pixel (row of the flattened face list, -1 = none) and its z (0 = none)."""
    fragments = box_fragments(scene.corners, height, width, drawn=scene.drawn)
    corners = scene.corners.flatten(0, 1)[fragments.face]
    areas, area = edge_functions(corners, fragments.x, fragments.y)
    index = ((areas >= 0).all(1) & (area >= NO_AREA)).nonzero().squeeze(1)
    face, pixel = fragments.face[index], fragments.pixel[index]
    z = (areas[index] * scene.z.flatten(0, 1)[face]).sum(1) / area[index]

    batch, faces = scene.z.shape[:2]
    pixels = batch * height * width
    depth = z.new_full((pixels,), -torch.inf).scatter_reduce_(0, pixel, z, "amax")
    nearest = (z == depth[pixel]).nonzero().squeeze(1)
    no_face = batch * faces
    winner = face.new_full((pixels,), no_face).scatter_reduce_(0, pixel[nearest], face[nearest], "amin")
    empty = winner == no_face
    return winner.masked_fill_(empty, -1), depth.masked_fill_(empty, 0)


def soft_silhouette(
    corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], soft_mask: SoftMaskSettings
) -> Float[Tensor, "b h w"]:
    """See `backends.Implementation`."""
    check_finite(corners, "face_vertices_image")
    _, height, width = face_index.shape
    covered = face_index >= 0
    faces = corners.flatten(0, 1)
    with torch.no_grad():
        near = box_fragments(corners, height, width, margin=soft_mask.boxlen, open_pixels=~covered)
        near = _first_fragments(near, covered.numel(), soft_mask.knum)
    exponent = -soft_mask.sigmainv * squared_distances(faces.index_select(0, near.face), near.x, near.y)
    # The product of (1 - p) as a sum of logarithms; Kaolin's eps keeps the gradient finite at p = 1.
    log_missed = torch.log(PROBABILITY_EPS * torch.exp(exponent) - torch.expm1(exponent))
    missed = log_missed.new_zeros(covered.numel()).index_add(0, near.pixel, log_missed)
    return torch.where(covered, 1.0, -torch.expm1(missed.view_as(covered)))


def _first_fragments(fragments: Fragments, pixels: int, knum: int) -> Fragments:
    """The first `knum` fragments of every pixel."""
    count = torch.bincount(fragments.pixel, minlength=pixels)
    if fragments.pixel.numel() == 0 or int(count.max()) <= knum:
        return fragments
    by_pixel = torch.argsort(fragments.pixel, stable=True)
    rank = torch.empty_like(by_pixel)
    first = (count.cumsum(0) - count)[fragments.pixel[by_pixel]]
    rank[by_pixel] = torch.arange(by_pixel.numel(), device=by_pixel.device) - first
    kept = (rank < knum).nonzero().squeeze(1)
    return Fragments(fragments.face[kept], fragments.pixel[kept], fragments.x[kept], fragments.y[kept])


def squared_distances(
    corners: Float[Tensor, "n 3 2"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Squared NDC distance from (x, y) to the outline of the triangle, from inside or outside."""
    start, along = corners, corners.roll(-1, 1) - corners
    away = torch.stack((x, y), 1).unsqueeze(1) - start
    with torch.no_grad():  # at the nearest point the distance is stationary along the edge
        foot = ((away * along).sum(2) / (along.square().sum(2) + LENGTH_EPS)).clamp(0, 1)
    return (away - foot.unsqueeze(2) * along).square().sum(2).amin(1)
