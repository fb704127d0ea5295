"""DIB-R's soft silhouette in Warp: one source, compiled for the CPU and for CUDA at first use.

Semantics are those of `ganverse.rendering.reference`. One integer a pixel, its state, tells which faces count: negative
if the pixel is covered, OPEN + the number of faces that may still count, or, once `knum` have, the last of them. So the
backward pass needs no list of pairs: face f counted where state >= f.
"""

import warp as wp

from ganverse.rendering.warp_kernels_common import (
    Box,
    Corners,
    Ints,
    Work,
    box_of,
    corners_of,
    flag_nonfinite,
    get,
    no_type_check,
    put,
)

wp.set_module_options({"enable_backward": False})

OPEN = 2**30
# Kaolin adds 1e-8 to squared lengths measured in thousandths of an NDC unit.
LENGTH_EPS = wp.constant(wp.float32(1e-14))
# Side of the tiles into which CUDA's schedule sorts faces, in pixels.
TILE = 16


@wp.struct
@no_type_check
class Edge:
    """From (x, y) along (ex, ey)."""

    x: wp.float32
    y: wp.float32
    ex: wp.float32
    ey: wp.float32
    per_length2: wp.float32


@wp.func
@no_type_check
def edge_of(corner: Corners, i: int, j: int) -> Edge:
    """The edge from corner i to corner j."""
    e = Edge()
    e.x = corner[i, 0]
    e.y = corner[i, 1]
    e.ex = corner[j, 0] - e.x
    e.ey = corner[j, 1] - e.y
    e.per_length2 = 1.0 / (e.ex * e.ex + e.ey * e.ey + LENGTH_EPS)
    return e


# The inner loops are C++, which CUDA compiles as it stands and the CPU several pixels at a time: hence no calls, no
# early exits, and exp as 2^(n + f) with n a whole number and |f| <= 1/2. A row that starts covered is entered at its
# first open pixel. Per edge: _u, _t = where its line, itself, is nearest (0 start, 1 end); _r leads to the pixel.
FOR_PIXELS_OF_BOX = """
#pragma clang fp contract(fast) reassociate(on)
    const auto ab = edge_ab, bc = edge_bc, ca = edge_ca;
    const float sigmainv = work.sigmainv;
    const float* const xs = work.xs.data;
    wp::int32* const states = work.states.data;
    float* const mask = work.mask.data;
    for (int line = box.line; line < box.end_line; ++line) {
        const int start = (image * work.height + line) * work.width;
        const int covered = states[start + box.column];
        const int begin = box.column - (covered < 0 ? covered : 0);
        const float y = work.ys.data[work.height - 1 - line];
        const float ab_y = y - ab.y, bc_y = y - bc.y, ca_y = y - ca.y;
#pragma clang loop vectorize(enable) interleave_count(1) vectorize_predicate(enable)
        for (int column = begin; column < box.end_column; ++column) {
            const float x = xs[column];
            const float ab_x = x - ab.x, bc_x = x - bc.x, ca_x = x - ca.x;
            const float ab_u = (ab_x * ab.ex + ab_y * ab.ey) * ab.per_length2;
            const float bc_u = (bc_x * bc.ex + bc_y * bc.ey) * bc.per_length2;
            const float ca_u = (ca_x * ca.ex + ca_y * ca.ey) * ca.per_length2;
            const float ab_t = ab_u > 0.0f ? (ab_u < 1.0f ? ab_u : 1.0f) : 0.0f;
            const float bc_t = bc_u > 0.0f ? (bc_u < 1.0f ? bc_u : 1.0f) : 0.0f;
            const float ca_t = ca_u > 0.0f ? (ca_u < 1.0f ? ca_u : 1.0f) : 0.0f;
            const float ab_rx = ab_x - ab_t * ab.ex, ab_ry = ab_y - ab_t * ab.ey;
            const float bc_rx = bc_x - bc_t * bc.ex, bc_ry = bc_y - bc_t * bc.ey;
            const float ca_rx = ca_x - ca_t * ca.ex, ca_ry = ca_y - ca_t * ca.ey;
            const float ab_d2 = ab_rx * ab_rx + ab_ry * ab_ry;
            const float bc_d2 = bc_rx * bc_rx + bc_ry * bc_ry;
            const float ca_d2 = ca_rx * ca_rx + ca_ry * ca_ry;
            const float ab_bc_d2 = ab_d2 < bc_d2 ? ab_d2 : bc_d2;
            const float d2 = ca_d2 < ab_bc_d2 ? ca_d2 : ab_bc_d2;

            const float wanted = d2 * (-1.44269504f * sigmainv);
            const float exponent = wanted > -126.0f ? wanted : -126.0f;
            const float n = wp::floor(exponent + 0.5f), f = exponent - n;
            const float high = ((1.54035304e-4f * f + 1.33335581e-3f) * f + 9.61812911e-3f) * f + 5.55041087e-2f;
            const float power = ((high * f + 0.240226507f) * f + 0.693147181f) * f + 1.0f;
            const union { wp::int32 bits; float value; } whole = {(static_cast<wp::int32>(n) + 127) << 23};
            const float p = power * whole.value;
"""

FORWARD_BOX = (
    FOR_PIXELS_OF_BOX
    + f"""
            const int state = states[start + column];
            const bool counts = state > face;
            mask[start + column] *= counts ? 1.0f - p : 1.0f;
            states[start + column] = counts ? (state == {OPEN + 1} ? face : state - 1) : state;
        }}
    }}
"""
)

# dL/d(d2) = -sigmainv g (1 - S) / (1 - p + eps) p. The nearest point of the outline moves with the ends of its edge in
# the proportion of its place on it; where it slides to along the edge changes nothing.
BACKWARD_BOX = (
    """
    float ax = 0.0f, ay = 0.0f, bx = 0.0f, by = 0.0f, cx = 0.0f, cy = 0.0f;
    const float* const grad_mask = work.grad_mask.data;
    {"""
    + FOR_PIXELS_OF_BOX
    + """
            const float g = states[start + column] >= face ? grad_mask[start + column] : 0.0f;
            const float scale = 2.0f * sigmainv * g * p * (1.0f - mask[start + column]) / (1.0f - p + 1e-8f);
            const bool on_ab = d2 == ab_d2, on_bc = !on_ab && d2 == bc_d2, on_ca = !on_ab && !on_bc;
            const float t = on_ab ? ab_t : on_bc ? bc_t : ca_t;
            const float fx = scale * (on_ab ? ab_rx : on_bc ? bc_rx : ca_rx);
            const float fy = scale * (on_ab ? ab_ry : on_bc ? bc_ry : ca_ry);
            const float a = on_ab ? 1.0f - t : on_ca ? t : 0.0f;
            const float b = on_bc ? 1.0f - t : on_ab ? t : 0.0f;
            const float c = on_ca ? 1.0f - t : on_bc ? t : 0.0f;
            ax += a * fx; ay += a * fy;
            bx += b * fx; by += b * fy;
            cx += c * fx; cy += c * fy;
        }
    }
    }
    float* grad = work.grad_corners.data + 6 * (image * work.faces + face);
    grad[0] += ax; grad[1] += ay; grad[2] += bx; grad[3] += by; grad[4] += cx; grad[5] += cy;
"""
)


@wp.func_native(FORWARD_BOX)
@no_type_check
def forward_box(edge_ab: Edge, edge_bc: Edge, edge_ca: Edge, box: Box, face: int, image: int, work: Work):
    """Accumulate a face into the open pixels of a box; the mask holds their product of 1 - p so far."""


@wp.func_native(BACKWARD_BOX)
@no_type_check
def backward_box(edge_ab: Edge, edge_bc: Edge, edge_ca: Edge, box: Box, face: int, image: int, work: Work):
    """Add to a face's gradient that of the pixels of its box for which it counted."""


@wp.func
@no_type_check
def is_open(box: Box, image: int, work: Work) -> bool:
    """Whether the box holds an uncovered pixel."""
    line = box.line
    found = bool(False)  # noqa: UP018  (a variable to Warp, not a constant)
    while line < box.end_line and not found and box.column < box.end_column:
        covered = get(work.states, (image * work.height + line) * work.width + box.column)
        found = box.column - wp.min(covered, 0) < box.end_column
        line += 1
    return found


@wp.func
@no_type_check
def accumulate_face(face: int, image: int, view: Box, work: Work):
    """Accumulate a face into the open pixels of a view of the image, where its enlarged box lies in the view."""
    corner = corners_of(image * work.faces + face, work)
    box = box_of(corner, work.boxlen, work)
    box.column = wp.max(box.column, view.column)
    box.end_column = wp.min(box.end_column, view.end_column)
    box.line = wp.max(box.line, view.line)
    box.end_line = wp.min(box.end_line, view.end_line)
    if is_open(box, image, work):
        forward_box(edge_of(corner, 0, 1), edge_of(corner, 1, 2), edge_of(corner, 2, 0), box, face, image, work)


@wp.func
@no_type_check
def face_soft_backward(row: int, image: int, work: Work):
    """Search for the pixels for which a face counted, and add their gradients to the face's."""
    corner = corners_of(row, work)
    box = box_of(corner, work.boxlen, work)
    if is_open(box, image, work):
        face = row - image * work.faces
        backward_box(edge_of(corner, 0, 1), edge_of(corner, 1, 2), edge_of(corner, 2, 0), box, face, image, work)


@wp.func_native("""
#if defined(__CUDA_ARCH__)
    atomicOr(marks.data + place, static_cast<int>(1u << bit));
#else
    marks.data[place] |= static_cast<int>(1u << bit);  // one thread does it all
#endif
""")
@no_type_check
def mark(marks: Ints, place: int, bit: int):
    """Set a bit of marks[place]."""


@wp.func
@no_type_check
def tile_of(image: int, line: int, column: int, work: Work) -> int:
    """Place of the first of the marks of the tile that holds a pixel; a tile has a bit for every face."""
    lines = (work.height + TILE - 1) // TILE
    columns = (work.width + TILE - 1) // TILE
    return ((image * lines + line // TILE) * columns + column // TILE) * ((work.faces + 31) // 32)


@wp.kernel
@no_type_check
def mark_tiles(work: Work):
    """CUDA, one thread a face: set its bit in the marks of every tile its enlarged box touches."""
    row = wp.tid()
    image = row // work.faces
    face = row - image * work.faces
    flag_nonfinite(image, row, 1, work)
    box = box_of(corners_of(row, work), work.boxlen, work)
    if box.column >= box.end_column or box.line >= box.end_line:
        return
    for line in range(box.line // TILE, (box.end_line - 1) // TILE + 1):
        for column in range(box.column // TILE, (box.end_column - 1) // TILE + 1):
            mark(work.marks, tile_of(image, line * TILE, column * TILE, work) + face // 32, face % 32)


@wp.kernel
@no_type_check
def soft_forward(work: Work):
    """CUDA, one thread a pixel: it accumulates the faces marked in its tile in order."""
    pixel = wp.tid()
    is_covered = get(work.face_index, pixel) >= wp.int64(0)
    put(work.states, pixel, wp.where(is_covered, -1, OPEN + work.knum))
    put(work.mask, pixel, wp.where(is_covered, 0.0, 1.0))
    image_line = pixel // work.width
    image = image_line // work.height
    view = Box()
    view.column = pixel - image_line * work.width
    view.end_column = view.column + 1
    view.line = image_line - image * work.height
    view.end_line = view.line + 1
    tile = tile_of(image, view.line, view.column, work)
    word = int(0)  # noqa: RUF046, UP018
    while 32 * word < work.faces and get(work.states, pixel) > OPEN:
        bits = wp.uint32(get(work.marks, tile + word))
        face = word * 32
        while bits != wp.uint32(0):
            if (bits & wp.uint32(1)) != wp.uint32(0):
                accumulate_face(face, image, view, work)
            bits = bits >> wp.uint32(1)
            face += 1
        word += 1
    put(work.mask, pixel, 1.0 - get(work.mask, pixel))


@wp.kernel
@no_type_check
def soft_backward(work: Work):
    """CUDA, one thread a face."""
    row = wp.tid()
    face_soft_backward(row, row // work.faces, work)
