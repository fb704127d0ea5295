"""What DIB-R's Warp kernels share: the arrays of a pass, access to them, pixel boxes, triangles and their spans.

Arrays are flat. `xs` and `ys` hold the pixel centers in NDC, both rising: `ys` counts lines from the bottom, so line r
of an image lies at ys[height - 1 - r]. A `row` counts the faces, a `pixel` the pixels of a whole batch.
"""

import os
from typing import TypeVar

import torch
import warp as wp

T = TypeVar("T")

Floats = wp.array(dtype=wp.float32)
Ints = wp.array(dtype=wp.int32)
Keys = wp.array(dtype=wp.int64)
Flags = wp.array(dtype=wp.bool)
Corners = wp.types.matrix(shape=(3, 2), dtype=wp.float32)

# Twice the area in NDC^2 below which a face is not drawn, and below which its corners get no gradient.
NO_AREA = wp.constant(wp.float32(1e-20))
FLAT = wp.constant(wp.float32(1e-8))
# An edge that moves more columns a row, or lies further out, is not trusted to bound a span.
STEEP = wp.constant(wp.float32(256.0))
FAR = wp.constant(wp.float32(16.0))
# Pixels by which a span is widened before its pixels are tested exactly.
SLACK = wp.constant(wp.float32(0.3))


def _start_quietly() -> None:
    """Start Warp without its greeting and, where torch sees no GPU, without its warning that there is none.

    Raises:
        OSError: the folder of compiled kernels cannot be written.
    """
    if wp.config.log_level == wp.LOG_INFO:
        wp.config.log_level = wp.LOG_WARNING
    if torch.cuda.is_available():
        wp.init()
    else:
        stderr = os.dup(2)  # the warning is printed by Warp's C++ code
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    if not os.access(wp.config.kernel_cache_dir, os.W_OK):
        raise PermissionError(f"Warp cannot write its compiled kernels to {wp.config.kernel_cache_dir}")


_start_quietly()


def no_type_check(thing: T) -> T:
    """Marks what Warp compiles: its annotations are Warp's language, not Python's types.

    The import hook of jaxtyping goes by this name. `typing.no_type_check` would hide the annotations from Warp as well.
    """
    return thing


@wp.struct
@no_type_check
class Work:
    """A pass as kernels see it: sizes, settings of the soft mask, pixel centers, `Buffers`, and the next task."""

    images: int
    faces: int
    channels: int
    height: int
    width: int
    sigmainv: wp.float32
    boxlen: wp.float32
    knum: int
    xs: Floats
    ys: Floats
    corners: Floats
    face_index: Keys
    z: Floats
    values: Floats
    drawn: Flags
    slopes: Floats
    depth: Floats
    features: Floats
    states: Ints
    mask: Floats
    nonfinite: Ints
    marks: Ints
    grad_features: Floats
    grad_mask: Floats
    grad_corners: Floats
    grad_values: Floats
    counter: Ints


@no_type_check
def _natives():
    # Inside a function, because Warp wants this decorator to be the only one where a result is declared. Warp's own
    # indexing also accepts negative places, which keeps the compiler from working on several at a time.
    for array, scalar in ((Floats, wp.float32), (Ints, int), (Keys, wp.int64)):  # overloads of three functions

        @wp.func_native("return values.data[place];")
        def get(values: array, place: int) -> scalar:
            """values[place]."""

        @wp.func_native("values.data[place] = value;")
        def put(values: array, place: int, value: scalar):
            """values[place] = value."""

        @wp.func_native("for (int i = first; i < end; ++i) values.data[i] = value;")
        def fill(values: array, first: int, end: int, value: scalar):
            """values[first:end] = value."""

    @wp.func_native("""
    #pragma clang fp reassociate(on)
        float zero = 0.0f;
        for (int i = first; i < end; ++i) zero += 0.0f * values.data[i];
        return zero == 0.0f;
    """)
    def is_finite(values: Floats, first: int, end: int) -> bool:
        """Whether values[first:end] hold neither NaN nor infinity."""

    @wp.func_native("return !flags.data || flags.data[place];")
    def is_set(flags: Flags, place: int) -> bool:
        """flags[place]; all are set where there are none."""

    @wp.func_native("""
        if (!counter.data) return otherwise;
    #if defined(__CUDA_ARCH__)
        return atomicAdd(counter.data, 1);
    #else
        return __atomic_fetch_add(counter.data, 1, __ATOMIC_RELAXED);
    #endif
    """)
    def next_task(counter: Ints, otherwise: int) -> int:
        """The next of the tasks that threads share (see `warp_launch.share`); `otherwise` where they share none."""

    return get, put, fill, is_finite, is_set, next_task


get, put, fill, is_finite, is_set, next_task = _natives()


@wp.func
@no_type_check
def flag_nonfinite(image: int, row: int, rows: int, work: Work):
    """Flag an image if a position of `rows` of its faces is not finite. What is drawn of them has no meaning."""
    nonfinite = not is_finite(work.corners, 6 * row, 6 * (row + rows))
    if work.z:
        nonfinite = nonfinite or not is_finite(work.z, 3 * row, 3 * (row + rows))
    if nonfinite:
        put(work.nonfinite, image, 1)


@wp.func
@no_type_check
def corners_of(row: int, work: Work) -> Corners:
    """The three image positions of a face."""
    corner = Corners()
    for j in range(3):
        corner[j, 0] = get(work.corners, 6 * row + 2 * j)
        corner[j, 1] = get(work.corners, 6 * row + 2 * j + 1)
    return corner


@wp.func
@no_type_check
def put_gradient(gradient: Corners, row: int, work: Work):
    """The gradient of a face's three image positions."""
    for j in range(3):
        put(work.grad_corners, 6 * row + 2 * j, gradient[j, 0])
        put(work.grad_corners, 6 * row + 2 * j + 1, gradient[j, 1])


@wp.struct
@no_type_check
class Box:
    """Pixels [column, end_column) x [line, end_line) of an image."""

    column: int
    end_column: int
    line: int
    end_line: int


@wp.func
@no_type_check
def first_at_least(x: wp.float32, centers: Floats, size: int) -> int:
    """First of `size` rising pixel centers that is at or beyond x, to the last bit."""
    guess = int(wp.ceil((wp.clamp(x, -2.0, 2.0) * wp.float32(size) + wp.float32(size - 1)) * 0.5))
    early = wp.where(guess > 0 and get(centers, wp.clamp(guess - 1, 0, size - 1)) >= x, 1, 0)
    late = wp.where(guess < size and get(centers, wp.clamp(guess, 0, size - 1)) < x, 1, 0)
    return wp.clamp(guess - early + late, 0, size)


@wp.func
@no_type_check
def box_of(corner: Corners, margin: wp.float32, work: Work) -> Box:
    """Pixels with a center in the half-open box [min - margin, max + margin) round a face."""
    xmin = wp.min(wp.min(corner[0, 0], corner[1, 0]), corner[2, 0]) - margin
    xmax = wp.max(wp.max(corner[0, 0], corner[1, 0]), corner[2, 0]) + margin
    ymin = wp.min(wp.min(corner[0, 1], corner[1, 1]), corner[2, 1]) - margin
    ymax = wp.max(wp.max(corner[0, 1], corner[1, 1]), corner[2, 1]) + margin
    box = Box()
    box.column = first_at_least(xmin, work.xs, work.width)
    box.end_column = first_at_least(xmax, work.xs, work.width)
    box.line = work.height - first_at_least(ymax, work.ys, work.height)
    box.end_line = work.height - first_at_least(ymin, work.ys, work.height)
    return box


@wp.struct
@no_type_check
class Triangle:
    """A face with its edges a->b = (m, p) and a->c = (n, q), both reversed if it is clockwise; area = |m q - n p|.

    At (dx, dy) from corner a the weights of b and c are k1 / area and k2 / area with k1 = dx q - n dy and
    k2 = m dy - dx p; that of a is (area - k1 - k2) / area.
    """

    ax: wp.float32
    ay: wp.float32
    m: wp.float32
    p: wp.float32
    n: wp.float32
    q: wp.float32
    area: wp.float32


@wp.func
@no_type_check
def triangle_of(corner: Corners) -> Triangle:
    """The face's edges and area."""
    t = Triangle()
    t.ax = corner[0, 0]
    t.ay = corner[0, 1]
    t.m = corner[1, 0] - t.ax
    t.p = corner[1, 1] - t.ay
    t.n = corner[2, 0] - t.ax
    t.q = corner[2, 1] - t.ay
    t.area = t.m * t.q - t.n * t.p
    if t.area < 0.0:  # the other winding: k1, k2 and the area change sign, exactly
        t.n = -t.n
        t.q = -t.q
        t.m = -t.m
        t.p = -t.p
        t.area = -t.area
    return t


@wp.struct
@no_type_check
class Sides:
    """Where a triangle's edges cross a row dy above corner a: max(left + left_slope dy) <= x <= min(right + ...).

    An edge that does not bound that side, or is too flat to say where it crosses a row, stands far outside.
    """

    left: wp.vec3
    left_slope: wp.vec3
    right: wp.vec3
    right_slope: wp.vec3


@wp.func
@no_type_check
def sides_of(corner: Corners, t: Triangle) -> Sides:
    """The lines that bound the spans of a triangle."""
    # Each edge as (rise, run): inside is dx * rise >= run * dy, measured from a point of the edge.
    rise = wp.vec3(t.q, -t.p, t.p - t.q)
    run = wp.vec3(t.n, -t.m, t.m - t.n)
    sides = Sides()
    for i in range(3):
        steady = wp.abs(run[i]) < STEEP * wp.abs(rise[i])
        slope = wp.where(steady, run[i] / rise[i], 0.0)
        x = t.ax
        if i == 2:
            x = corner[1, 0] - (corner[1, 1] - corner[0, 1]) * slope
        is_left = steady and rise[i] > 0.0 and wp.abs(x) < FAR
        is_right = steady and rise[i] < 0.0 and wp.abs(x) < FAR
        sides.left[i] = wp.where(is_left, x, -FAR)
        sides.left_slope[i] = wp.where(is_left, slope, 0.0)
        sides.right[i] = wp.where(is_right, x, FAR)
        sides.right_slope[i] = wp.where(is_right, slope, 0.0)
    return sides


@wp.struct
@no_type_check
class Span:
    """Pixels of one line of an image: columns [column, end_column); `start` is the line's first pixel.

    dy: height of the line above corner a of the face that is looked at.
    """

    start: int
    column: int
    end_column: int
    dy: wp.float32


@wp.func
@no_type_check
def span_of(t: Triangle, sides: Sides, box: Box, image: int, line: int, work: Work) -> Span:
    """Pixels of a line that may lie inside a face; a fraction of a pixel generous, to be tested exactly."""
    span = Span()
    span.start = (image * work.height + line) * work.width
    span.dy = get(work.ys, work.height - 1 - line) - t.ay
    left = sides.left + sides.left_slope * span.dy
    right = sides.right + sides.right_slope * span.dy
    half = wp.float32(work.width) * 0.5
    x = wp.max(wp.max(left[0], left[1]), left[2])
    end_x = wp.min(wp.min(right[0], right[1]), right[2])
    span.column = wp.max(box.column, int(wp.ceil(x * half + (half - 0.5 - SLACK))))
    span.end_column = wp.min(box.end_column, int(wp.floor(end_x * half + (half + 0.5 + SLACK))))
    return span
