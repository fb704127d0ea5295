"""DIB-R's hard rasterization in Warp: one source, compiled for the CPU and for CUDA at first use.

Semantics are those of `ganverse.rendering.reference`; gradients are closed forms written here. Each step exists once,
as a function of a face or of a run of pixels. Kernels distribute the steps: on CUDA, below, one thread takes a face or
a pixel; on the CPU, in `warp_kernels_image`, one thread takes an image. No two threads add to one place, so results do
not depend on the schedule.
"""

import warp as wp

from ganverse.rendering.warp_kernels_common import (
    FLAT,
    NO_AREA,
    Corners,
    Keys,
    Triangle,
    Work,
    box_of,
    corners_of,
    fill,
    flag_nonfinite,
    get,
    is_set,
    no_type_check,
    put,
    put_gradient,
    sides_of,
    span_of,
    triangle_of,
)

# fuse_fp off: the CPU and CUDA round alike, so both choose the same face in every pixel.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

# `Work.face_index` begins as a depth buffer: ordered bits of z above; below, the lower face before the higher one.
# Empty lies under every z.
EMPTY = wp.constant(wp.int64(1 - 2**63))
LOW_BITS = wp.constant(wp.int64(2**32 - 1))


@wp.func
@no_type_check
def packed(z: wp.float32, face: int) -> wp.int64:
    """A key that is larger for a larger z, and for a lower face where z is equal."""
    bits = wp.cast(z, wp.int32)
    bits = wp.where(bits < 0, bits ^ wp.int32(0x7FFFFFFF), bits)
    return (wp.int64(bits) << wp.int64(32)) | (LOW_BITS - wp.int64(face))


@wp.func
@no_type_check
def z_in(key: wp.int64) -> wp.float32:
    """The z in a key."""
    bits = wp.int32(key >> wp.int64(32))
    return wp.cast(wp.where(bits < 0, bits ^ wp.int32(0x7FFFFFFF), bits), wp.float32)


@wp.func_native("""
#if defined(__CUDA_ARCH__)
    atomicMax(reinterpret_cast<long long*>(keys.data + place), static_cast<long long>(key));
#else
    if (key > keys.data[place]) keys.data[place] = key;  // one thread draws an image
#endif
""")
@no_type_check
def raise_key(keys: Keys, place: int, key: wp.int64):
    """keys[place] = max(keys[place], key)."""


@wp.func
@no_type_check
def store_slopes(t: Triangle, row: int, work: Work):
    """How the features change along x and along y over a face: its gradients, channels of x before those of y."""
    per_area = 1.0 / t.area
    d = int(0)  # noqa: RUF046, UP018  (a variable to Warp, not a constant)
    while d < work.channels:
        i = 3 * row * work.channels + d
        value = get(work.values, i)
        v1 = (get(work.values, i + work.channels) - value) * per_area
        v2 = (get(work.values, i + 2 * work.channels) - value) * per_area
        put(work.slopes, 2 * row * work.channels + d, v1 * t.q - v2 * t.p)
        put(work.slopes, (2 * row + 1) * work.channels + d, v2 * t.m - v1 * t.n)
        d += 1


@wp.func
@no_type_check
def draw_face(row: int, image: int, work: Work):
    """Raise the depth buffer where the face lies, and store the slopes of its features."""
    if not is_set(work.drawn, row):
        return
    corner = corners_of(row, work)
    t = triangle_of(corner)
    if t.area < NO_AREA:
        return
    store_slopes(t, row, work)
    z0 = get(work.z, 3 * row)
    per_area = 1.0 / t.area
    z1 = (get(work.z, 3 * row + 1) - z0) * per_area
    z2 = (get(work.z, 3 * row + 2) - z0) * per_area
    box = box_of(corner, 0.0, work)
    sides = sides_of(corner, t)
    line = box.line
    while line < box.end_line:
        span = span_of(t, sides, box, image, line, work)
        n_dy = t.n * span.dy
        m_dy = t.m * span.dy
        column = span.column
        while column < span.end_column:
            dx = get(work.xs, column) - t.ax
            k1 = dx * t.q - n_dy
            k2 = m_dy - dx * t.p
            if wp.min(wp.min(k1, k2), t.area - k1 - k2) >= 0.0:
                raise_key(
                    work.face_index, span.start + column, packed(z0 + k1 * z1 + k2 * z2, row - image * work.faces)
                )
            column += 1
        line += 1


@wp.func
@no_type_check
def interpolate_run(start: int, run: int, image: int, work: Work):
    """Turn the depth buffer of pixels of one row into face indices, depths and features."""
    end = start + run
    channels = work.channels
    fill(work.features, start * channels, end * channels, 0.0)
    pixel = start
    while pixel < end:
        key = get(work.face_index, pixel)
        put(work.depth, pixel, wp.where(key == EMPTY, 0.0, z_in(key)))
        put(work.face_index, pixel, wp.where(key == EMPTY, wp.int64(-1), LOW_BITS - (key & LOW_BITS)))
        pixel += 1

    row_start = start - start % work.width
    y = get(work.ys, work.height - 1 - (row_start // work.width - image * work.height))
    pixel = start
    while pixel < end:
        face = get(work.face_index, pixel)
        if face >= wp.int64(0):
            row = image * work.faces + int(face)
            dx = get(work.xs, pixel - row_start) - get(work.corners, 6 * row)
            dy = y - get(work.corners, 6 * row + 1)
            d = int(0)  # noqa: RUF046, UP018
            while d < channels:
                value = get(work.values, 3 * row * channels + d)
                along_x = get(work.slopes, 2 * row * channels + d)
                along_y = get(work.slopes, (2 * row + 1) * channels + d)
                put(work.features, pixel * channels + d, value + dx * along_x + dy * along_y)
                d += 1
        pixel += 1


@wp.func
@no_type_check
def accumulate_pixel(pixel: int, row: int, dx: wp.float32, dy: wp.float32, work: Work):
    """Add a pixel's gradient g to its face's sums of g, g dx and g dy, which are kept in `Work.grad_values`."""
    d = int(0)  # noqa: RUF046, UP018
    while d < work.channels:
        g = get(work.grad_features, pixel * work.channels + d)
        i = 3 * row * work.channels + d
        put(work.grad_values, i, get(work.grad_values, i) + g)
        put(work.grad_values, i + work.channels, get(work.grad_values, i + work.channels) + dx * g)
        put(work.grad_values, i + 2 * work.channels, get(work.grad_values, i + 2 * work.channels) + dy * g)
        d += 1


@wp.func
@no_type_check
def face_backward(row: int, work: Work):
    """Turn a face's sums into its gradients.

    dL/dvalue[j, d] = sum over its pixels of w_j g_d, and w_j is affine in the pixel. Moving corner j shifts the
    interpolated features under a pixel by w_j, so dL/dcorner_j = -sum_d slope_d dL/dvalue[j, d].
    """
    t = triangle_of(corners_of(row, work))
    grad = Corners()
    if t.area >= NO_AREA:
        channels = work.channels
        per_area = 1.0 / t.area
        d = int(0)  # noqa: RUF046, UP018
        while d < channels:
            i = 3 * row * channels + d
            along_x = get(work.grad_values, i + channels)
            along_y = get(work.grad_values, i + 2 * channels)
            g1 = (along_x * t.q - t.n * along_y) * per_area
            g2 = (t.m * along_y - along_x * t.p) * per_area
            g0 = get(work.grad_values, i) - g1 - g2
            put(work.grad_values, i, g0)
            put(work.grad_values, i + channels, g1)
            put(work.grad_values, i + 2 * channels, g2)
            if t.area >= FLAT and (g0 != 0.0 or g1 != 0.0 or g2 != 0.0):  # hidden faces may have no slopes
                i = 2 * row * channels + d
                slope = wp.vec2(get(work.slopes, i), get(work.slopes, i + channels))
                grad[0] -= slope * g0
                grad[1] -= slope * g1
                grad[2] -= slope * g2
            d += 1
    put_gradient(grad, row, work)


@wp.kernel
@no_type_check
def raster_forward(work: Work):
    """CUDA, one thread a face, into an empty depth buffer."""
    row = wp.tid()
    flag_nonfinite(row // work.faces, row, 1, work)
    draw_face(row, row // work.faces, work)


@wp.kernel
@no_type_check
def interpolate_pixels(work: Work):
    """CUDA, one thread a pixel."""
    pixel = wp.tid()
    interpolate_run(pixel, 1, pixel // (work.height * work.width), work)


@wp.kernel
@no_type_check
def raster_backward(work: Work):
    """CUDA, one thread a face: it searches for its pixels, so that no two threads add to one place."""
    row = wp.tid()
    image = row // work.faces
    face = wp.int64(row - image * work.faces)
    fill(work.grad_values, 3 * row * work.channels, 3 * (row + 1) * work.channels, 0.0)
    corner = corners_of(row, work)
    t = triangle_of(corner)
    box = box_of(corner, 0.0, work)
    if not is_set(work.drawn, row):
        box.end_line = box.line
    sides = sides_of(corner, t)
    line = box.line
    while line < box.end_line:
        span = span_of(t, sides, box, image, line, work)
        column = span.column
        while column < span.end_column:
            if get(work.face_index, span.start + column) == face:
                accumulate_pixel(span.start + column, row, get(work.xs, column) - t.ax, span.dy, work)
            column += 1
        line += 1
    face_backward(row, work)
