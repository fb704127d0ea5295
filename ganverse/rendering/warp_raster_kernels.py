"""DIB-R's hard rasterisation in Warp: one source, compiled for the CPU and for CUDA at first use.

Semantics are those of `ganverse.rendering.reference`; gradients are closed forms written here. Each step exists once,
as a function of a face or of a run of pixels; kernels only say who does it: those of CUDA, below, one thread a face or
a pixel; those of the CPU, in `warp_image_kernels`, one an image. No two threads add to one place, so results do not
depend on the schedule.
"""

import warp as wp

from ganverse.rendering.warp_geometry import (
    FLAT,
    NOTHING,
    Corners,
    Flags,
    Floats,
    Keys,
    Triangle,
    box_of,
    corners_of,
    get,
    get_key,
    no_type_check,
    put,
    put_key,
    sides_of,
    span_of,
    triangle_of,
)

# fuse_fp off: the CPU and CUDA round alike, so they see the same face in every pixel.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

# Depth buffer: ordered bits of z above, lower face index before higher one below; empty lies under every z.
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
def put_slopes(t: Triangle, row: int, channels: int, values: Floats, slopes: Floats):
    """How the features change along x and along y over a face: its gradients, channels of x before those of y."""
    per_area = 1.0 / t.area
    d = int(0)  # noqa: RUF046, UP018  (a variable to Warp, not a constant)
    while d < channels:
        i = 3 * row * channels + d
        value = get(values, i)
        v1 = (get(values, i + channels) - value) * per_area
        v2 = (get(values, i + 2 * channels) - value) * per_area
        put(slopes, 2 * row * channels + d, v1 * t.q - v2 * t.p)
        put(slopes, (2 * row + 1) * channels + d, v2 * t.m - v1 * t.n)
        d += 1


@wp.func
@no_type_check
def draw_face(
    row: int,
    image: int,
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    z: Floats,
    values: Floats,
    drawn: Flags,
    keys: Keys,
    slopes: Floats,
):
    """Raise the depth buffer where the face lies, and note the slopes of its features."""
    if drawn and not drawn[row]:
        return
    corner = corners_of(corners, row)
    t = triangle_of(corner)
    if t.area < NOTHING:
        return
    put_slopes(t, row, channels, values, slopes)
    z0 = get(z, 3 * row)
    per_area = 1.0 / t.area
    z1 = (get(z, 3 * row + 1) - z0) * per_area
    z2 = (get(z, 3 * row + 2) - z0) * per_area
    box = box_of(corner, 0.0, xs, ys, width, height)
    sides = sides_of(corner, t)
    line = box.line
    while line < box.end_line:
        dy = get(ys, height - 1 - line) - t.ay
        start = (image * height + line) * width
        span = span_of(sides, box, dy, width)
        n_dy = t.n * dy
        m_dy = t.m * dy
        column = span.column
        while column < span.end_column:
            dx = get(xs, column) - t.ax
            k1 = dx * t.q - n_dy
            k2 = m_dy - dx * t.p
            if wp.min(wp.min(k1, k2), t.area - k1 - k2) >= 0.0:
                raise_key(keys, start + column, packed(z0 + k1 * z1 + k2 * z2, row - image * faces))
            column += 1
        line += 1


@wp.func
@no_type_check
def shade_run(
    start: int,
    run: int,
    image: int,
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    values: Floats,
    slopes: Floats,
    keys: Keys,
    depth: Floats,
    features: Floats,
):
    """Turn the depth buffer of pixels of one row into face indices, depths and features."""
    end = start + run
    i = start * channels
    while i < end * channels:
        put(features, i, 0.0)
        i += 1
    pixel = start
    while pixel < end:
        key = get_key(keys, pixel)
        put(depth, pixel, wp.where(key == EMPTY, 0.0, z_in(key)))
        put_key(keys, pixel, wp.where(key == EMPTY, wp.int64(-1), LOW_BITS - (key & LOW_BITS)))
        pixel += 1

    row_start = start - start % width
    y = get(ys, height - 1 - (row_start // width - image * height))
    pixel = start
    while pixel < end:
        face = get_key(keys, pixel)
        if face >= wp.int64(0):
            row = image * faces + int(face)
            dx = get(xs, pixel - row_start) - get(corners, 6 * row)
            dy = y - get(corners, 6 * row + 1)
            d = int(0)  # noqa: RUF046, UP018
            while d < channels:
                along_x = get(slopes, 2 * row * channels + d)
                along_y = get(slopes, (2 * row + 1) * channels + d)
                put(features, pixel * channels + d, get(values, 3 * row * channels + d) + dx * along_x + dy * along_y)
                d += 1
        pixel += 1


@wp.func
@no_type_check
def add_pixel(pixel: int, row: int, dx: wp.float32, dy: wp.float32, channels: int, grad_features: Floats, sums: Floats):
    """Add a pixel's gradient g to its face's sums of g, g dx and g dy."""
    d = int(0)  # noqa: RUF046, UP018
    while d < channels:
        g = get(grad_features, pixel * channels + d)
        i = 3 * row * channels + d
        put(sums, i, get(sums, i) + g)
        put(sums, i + channels, get(sums, i + channels) + dx * g)
        put(sums, i + 2 * channels, get(sums, i + 2 * channels) + dy * g)
        d += 1


@wp.func
@no_type_check
def finish_face(row: int, channels: int, corners: Floats, slopes: Floats, grad_corners: Floats, grad_values: Floats):
    """Turn a face's sums into its gradients.

    dL/dvalue[j, d] = sum over its pixels of w_j g_d, and w_j is affine in the pixel. Moving corner j shifts the
    interpolated features under a pixel by w_j, so dL/dcorner_j = -sum_d slope_d dL/dvalue[j, d].
    """
    t = triangle_of(corners_of(corners, row))
    grad = Corners()
    if t.area >= NOTHING:
        per_area = 1.0 / t.area
        d = int(0)  # noqa: RUF046, UP018
        while d < channels:
            i = 3 * row * channels + d
            along_x = get(grad_values, i + channels)
            along_y = get(grad_values, i + 2 * channels)
            g1 = (along_x * t.q - t.n * along_y) * per_area
            g2 = (t.m * along_y - along_x * t.p) * per_area
            g0 = get(grad_values, i) - g1 - g2
            put(grad_values, i, g0)
            put(grad_values, i + channels, g1)
            put(grad_values, i + 2 * channels, g2)
            if t.area >= FLAT and (g0 != 0.0 or g1 != 0.0 or g2 != 0.0):  # unseen faces may have no slopes
                slope = wp.vec2(get(slopes, 2 * row * channels + d), get(slopes, (2 * row + 1) * channels + d))
                grad[0] -= slope * g0
                grad[1] -= slope * g1
                grad[2] -= slope * g2
            d += 1
    for j in range(3):
        put(grad_corners, 6 * row + 2 * j, grad[j, 0])
        put(grad_corners, 6 * row + 2 * j + 1, grad[j, 1])


@wp.kernel
@no_type_check
def draw_faces(
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    z: Floats,
    values: Floats,
    drawn: Flags,
    slopes: Floats,
    keys: Keys,
):
    """CUDA, one thread a face, into an empty depth buffer."""
    row = wp.tid()
    draw_face(row, row // faces, faces, channels, height, width, xs, ys, corners, z, values, drawn, keys, slopes)


@wp.kernel
@no_type_check
def shade_pixels(
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    values: Floats,
    slopes: Floats,
    keys: Keys,
    depth: Floats,
    features: Floats,
):
    """CUDA, one thread a pixel."""
    pixel = wp.tid()
    image = pixel // (height * width)
    shade_run(pixel, 1, image, faces, channels, height, width, xs, ys, corners, values, slopes, keys, depth, features)


@wp.kernel
@no_type_check
def pull_faces(
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    slopes: Floats,
    drawn: Flags,
    index: Keys,
    grad_features: Floats,
    grad_corners: Floats,
    grad_values: Floats,
):
    """CUDA, one thread a face: it looks for its pixels, so that no two threads add to one place."""
    row = wp.tid()
    image = row // faces
    face = wp.int64(row - image * faces)
    i = 3 * row * channels
    while i < 3 * (row + 1) * channels:
        put(grad_values, i, 0.0)
        i += 1
    corner = corners_of(corners, row)
    t = triangle_of(corner)
    box = box_of(corner, 0.0, xs, ys, width, height)
    if drawn and not drawn[row]:
        box.end_line = box.line
    sides = sides_of(corner, t)
    line = box.line
    while line < box.end_line:
        dy = get(ys, height - 1 - line) - t.ay
        start = (image * height + line) * width
        span = span_of(sides, box, dy, width)
        column = span.column
        while column < span.end_column:
            if get_key(index, start + column) == face:
                dx = get(xs, column) - t.ax
                add_pixel(start + column, row, dx, dy, channels, grad_features, grad_values)
            column += 1
        line += 1
    finish_face(row, channels, corners, slopes, grad_corners, grad_values)
