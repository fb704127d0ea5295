"""DIB-R's kernels in Warp: one source, compiled for the CPU and for CUDA at first use.

The semantics are those of `ganverse.rendering.reference`. All gradients are closed forms written here, so Warp's own
adjoints are switched off. No kernel adds to a place that two threads share: results do not depend on the schedule.

Rows of a flattened (batch * faces) list are called `row`, places in a flattened (batch, height, width) image `pixel`.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

Corners = wp.types.matrix(shape=(3, 2), dtype=wp.float32)

# Packed depth: ordered bits of z above, lower face index above higher one below.
NO_FACE = wp.constant(wp.int64(1 - 2**63))
LOW_BITS = wp.constant(wp.int64(2**32 - 1))
# Positions of faces thinner than this (twice the area, NDC^2) get no gradient.
FLAT = wp.constant(wp.float32(1e-8))
# Above this slope (columns per row) or size the crossing of an edge with a row is not trusted.
# An uncovered pixel's state: OPEN + faces it may still listen to, or the last one it listened to.
OPEN = wp.constant(2**30)
# exp(-20) is lost against 1 in float32.
FADED = wp.constant(wp.float32(20.0))
LENGTH_EPS = wp.constant(wp.float32(1e-14))
STEEP = wp.constant(wp.float32(256.0))
FAR = wp.constant(wp.float32(16.0))
# Pixels by which a span is widened before its ends are tested exactly.
SLACK = wp.constant(wp.float32(0.3))


@wp.struct
class Triangle:
    """A face with its edges a->b = (m, p) and a->c = (n, q), turned so that area = m q - n p >= 0.

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
def triangle_of(corners: Corners) -> Triangle:
    t = Triangle()
    t.ax = corners[0, 0]
    t.ay = corners[0, 1]
    t.m = corners[1, 0] - t.ax
    t.p = corners[1, 1] - t.ay
    t.n = corners[2, 0] - t.ax
    t.q = corners[2, 1] - t.ay
    t.area = t.m * t.q - t.n * t.p
    if t.area < 0.0:  # the other winding: k1, k2 and the area change sign, exactly
        t.n = -t.n
        t.q = -t.q
        t.m = -t.m
        t.p = -t.p
        t.area = -t.area
    return t


# Warp's own indexing also accepts negative places, which keeps the compiler from vectorising a loop.
@wp.func_native("return values.data[place];")
def get(values: wp.array(dtype=wp.float32), place: int) -> wp.float32: ...


@wp.func_native("values.data[place] = value;")
def put(values: wp.array(dtype=wp.float32), place: int, value: wp.float32): ...


@wp.func_native("return keys.data[place];")
def get_key(keys: wp.array(dtype=wp.int64), place: int) -> wp.int64: ...


@wp.func_native("keys.data[place] = key;")
def put_key(keys: wp.array(dtype=wp.int64), place: int, key: wp.int64): ...


@wp.func_native("return states.data[place];")
def get_state(states: wp.array(dtype=wp.int32), place: int) -> int: ...


@wp.func_native("states.data[place] = state;")
def put_state(states: wp.array(dtype=wp.int32), place: int, state: int): ...


@wp.func
def first_at_least(x: wp.float32, centres: wp.array(dtype=wp.float32), size: int) -> int:
    """First of `size` rising pixel centres that is at or beyond x."""
    guess = int(wp.ceil((wp.clamp(x, -2.0, 2.0) * wp.float32(size) + wp.float32(size - 1)) * 0.5))
    early = wp.where(guess > 0 and get(centres, wp.clamp(guess - 1, 0, size - 1)) >= x, 1, 0)
    late = wp.where(guess < size and get(centres, wp.clamp(guess, 0, size - 1)) < x, 1, 0)
    return wp.clamp(guess - early + late, 0, size)


@wp.struct
class Box:
    column: int
    end_column: int
    line: int
    end_line: int


@wp.func
def box_of(
    corners: Corners,
    margin: wp.float32,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    width: int,
    height: int,
) -> Box:
    """Pixels with a centre in the half-open box [min - margin, max + margin)."""
    box = Box()
    xmin = wp.min(wp.min(corners[0, 0], corners[1, 0]), corners[2, 0]) - margin
    xmax = wp.max(wp.max(corners[0, 0], corners[1, 0]), corners[2, 0]) + margin
    ymin = wp.min(wp.min(corners[0, 1], corners[1, 1]), corners[2, 1]) - margin
    ymax = wp.max(wp.max(corners[0, 1], corners[1, 1]), corners[2, 1]) + margin
    box.column = first_at_least(xmin, xs, width)
    box.end_column = first_at_least(xmax, xs, width)
    # ys rises, so it counts lines from the bottom of the image.
    box.line = height - first_at_least(ymax, ys, height)
    box.end_line = height - first_at_least(ymin, ys, height)
    return box


@wp.func
def packed(z: wp.float32, face: int) -> wp.int64:
    bits = wp.cast(z, wp.int32)
    bits = wp.where(bits < 0, bits ^ wp.int32(0x7FFFFFFF), bits)
    return (wp.int64(bits) << wp.int64(32)) | (LOW_BITS - wp.int64(face))


@wp.func
def z_in(key: wp.int64) -> wp.float32:
    bits = wp.int32(key >> wp.int64(32))
    return wp.cast(wp.where(bits < 0, bits ^ wp.int32(0x7FFFFFFF), bits), wp.float32)


@wp.struct
class Edges:
    """Where the edges cross a row: the span is [max(left + left_slope * dy), min(right + right_slope * dy)] in NDC x.

    An edge that does not bound its side, or is too flat to say where it crosses a row, stands far outside.
    """

    left: wp.vec3
    left_slope: wp.vec3
    right: wp.vec3
    right_slope: wp.vec3


@wp.func
def slope_of(rise: wp.float32, run: wp.float32) -> wp.float32:
    return wp.where(wp.abs(run) < STEEP * wp.abs(rise), run / rise, 0.0)


@wp.func
def edges_of(t: Triangle) -> Edges:
    # Each edge as (rise, run): inside is dx * rise >= run * dy, measured from a point of the edge.
    rise = wp.vec3(t.q, -t.p, t.p - t.q)
    run = wp.vec3(t.n, -t.m, t.m - t.n)
    slope = wp.vec3(slope_of(rise[0], run[0]), slope_of(rise[1], run[1]), slope_of(rise[2], run[2]))
    at = wp.vec3(t.ax, t.ax, t.ax + t.m - t.p * slope[2])
    e = Edges()
    for i in range(3):
        steady = wp.abs(run[i]) < STEEP * wp.abs(rise[i]) and wp.abs(at[i]) < FAR
        is_left = steady and rise[i] > 0.0
        is_right = steady and rise[i] < 0.0
        e.left[i] = wp.where(is_left, at[i], -FAR)
        e.left_slope[i] = wp.where(is_left, slope[i], 0.0)
        e.right[i] = wp.where(is_right, at[i], FAR)
        e.right_slope[i] = wp.where(is_right, slope[i], 0.0)
    return e


@wp.struct
class Span:
    column: int
    end_column: int


@wp.func
def span_of(e: Edges, box: Box, dy: wp.float32, width: int) -> Span:
    """Columns of a row that may lie inside; a fraction of a pixel generous, to be tested exactly."""
    half = wp.float32(width) * 0.5
    left = wp.max(
        wp.max(e.left[0] + e.left_slope[0] * dy, e.left[1] + e.left_slope[1] * dy), e.left[2] + e.left_slope[2] * dy
    )
    right = wp.min(
        wp.min(e.right[0] + e.right_slope[0] * dy, e.right[1] + e.right_slope[1] * dy),
        e.right[2] + e.right_slope[2] * dy,
    )
    span = Span()
    span.column = wp.max(box.column, int(wp.ceil(left * half + (half - 0.5 - SLACK))))
    span.end_column = wp.min(box.end_column, int(wp.floor(right * half + (half + 0.5 + SLACK))))
    return span


@wp.func_native("""
#if defined(__CUDA_ARCH__)
    atomicMax(reinterpret_cast<long long*>(keys.data + place), static_cast<long long>(key));
#else
    if (key > keys.data[place]) keys.data[place] = key;  // one thread draws an image
#endif
""")
def raise_key(keys: wp.array(dtype=wp.int64), place: int, key: wp.int64): ...


@wp.kernel
def draw_faces(
    faces: int,
    height: int,
    width: int,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    z: wp.array(dtype=wp.vec3),
    drawn: wp.array(dtype=wp.bool),
    keys: wp.array(dtype=wp.int64),
):
    """One thread a face: raise the packed depth of the pixels it covers."""
    row = wp.tid()
    if drawn:
        if not drawn[row]:
            return
    image = row // faces
    face = row - image * faces
    corner = corners[row]
    depth = z[row]
    t = triangle_of(corner)
    if t.area == 0.0:
        return
    box = box_of(corner, 0.0, xs, ys, width, height)
    edges = edges_of(t)
    per_area = 1.0 / t.area
    dz1 = (depth[1] - depth[0]) * per_area
    dz2 = (depth[2] - depth[0]) * per_area
    line = box.line
    while line < box.end_line:
        dy = get(ys, height - 1 - line) - t.ay
        start = (image * height + line) * width
        span = span_of(edges, box, dy, width)
        ndy = t.n * dy
        mdy = t.m * dy
        column = span.column
        while column < span.end_column:
            dx = get(xs, column) - t.ax
            k1 = dx * t.q - ndy
            k2 = mdy - dx * t.p
            if wp.min(wp.min(k1, k2), t.area - k1 - k2) >= 0.0:
                raise_key(keys, start + column, packed(depth[0] + k1 * dz1 + k2 * dz2, face))
            column += 1
        line += 1


@wp.kernel
def shade_pixels(
    run: int,
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    values: wp.array(dtype=wp.float32),
    keys: wp.array(dtype=wp.int64),
    depth: wp.array(dtype=wp.float32),
    features: wp.array(dtype=wp.float32),
):
    """One thread `run` pixels of a row: turn packed depths into face indices, depths and features."""
    start = wp.tid() * run
    image_line = start // width
    image = image_line // height
    y = get(ys, height - 1 - (image_line - image * height))
    end = start + run
    i = start * channels
    while i < end * channels:
        put(features, i, 0.0)
        i += 1
    i = start
    while i < end:
        key = get_key(keys, i)
        put(depth, i, wp.where(key == NO_FACE, 0.0, z_in(key)))
        put_key(keys, i, wp.where(key == NO_FACE, wp.int64(-1), LOW_BITS - (key & LOW_BITS)))
        i += 1

    step = get(xs, width - 1) - get(xs, wp.max(width - 2, 0))
    i = start
    while i < end:
        face = get_key(keys, i)
        first = i
        i += 1
        if face >= wp.int64(0):
            while i < end and get_key(keys, i) == face:
                i += 1
            row = image * faces + int(face)
            t = triangle_of(corners[row])
            dx = get(xs, first - image_line * width) - t.ax
            dy = y - t.ay
            per_area = 1.0 / t.area
            w1 = (dx * t.q - t.n * dy) * per_area
            w2 = (t.m * dy - dx * t.p) * per_area
            w1_step = step * t.q * per_area
            w2_step = -step * t.p * per_area
            base = row * 3 * channels
            d = int(0)
            while d < channels:
                v = get(values, base + d)
                v1 = get(values, base + channels + d) - v
                v2 = get(values, base + 2 * channels + d) - v
                v += w1 * v1 + w2 * v2
                v_step = w1_step * v1 + w2_step * v2
                j = int(0)
                while j < i - first:
                    put(features, (first + j) * channels + d, v + wp.float32(j) * v_step)
                    j += 1
                d += 1


@wp.kernel
def pull_features(
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    values: wp.array(dtype=wp.float32),
    drawn: wp.array(dtype=wp.bool),
    index: wp.array(dtype=wp.int64),
    grad_features: wp.array(dtype=wp.float32),
    grad_corners: wp.array(dtype=Corners),
    grad_values: wp.array(dtype=wp.float32),
):
    """One thread a face: gather the gradient of the pixels that show it.

    dL/dvalue[j, d] = sum over pixels of w_j g_d, and w_j is affine in the pixel, so the sums of g, g dx and g dy are
    all that is needed. Moving a corner shifts the interpolated field under the pixel by w_j, so dL/dcorner_j =
    -sum_d grad_xy(I_d) dL/dvalue[j, d], as grad_xy(I_d) is constant over the face.
    """
    row = wp.tid()
    image = row // faces
    face = wp.int64(row - image * faces)
    base = row * 3 * channels
    d = int(0)
    while d < 3 * channels:
        put(grad_values, base + d, 0.0)
        d += 1
    grad = Corners()
    grad_corners[row] = grad
    if drawn:
        if not drawn[row]:
            return
    corner = corners[row]
    t = triangle_of(corner)
    if t.area == 0.0:
        return

    box = box_of(corner, 0.0, xs, ys, width, height)
    edges = edges_of(t)
    step = get(xs, width - 1) - get(xs, wp.max(width - 2, 0))
    line = box.line
    while line < box.end_line:
        dy = get(ys, height - 1 - line) - t.ay
        start = (image * height + line) * width
        span = span_of(edges, box, dy, width)
        column = span.column
        while column < span.end_column:
            first = column
            column += 1
            if get_key(index, start + first) == face:
                while column < span.end_column and get_key(index, start + column) == face:
                    column += 1
                dx = get(xs, first) - t.ax
                d = int(0)
                while d < channels:
                    total = wp.float32(0.0)
                    moment = wp.float32(0.0)
                    j = int(0)
                    while j < column - first:
                        g = get(grad_features, (start + first + j) * channels + d)
                        total += g
                        moment += wp.float32(j) * g
                        j += 1
                    put(grad_values, base + d, get(grad_values, base + d) + total)
                    one = base + channels + d
                    put(grad_values, one, get(grad_values, one) + dx * total + step * moment)
                    two = one + channels
                    put(grad_values, two, get(grad_values, two) + dy * total)
                    d += 1
        line += 1

    per_area = 1.0 / t.area
    d = int(0)
    while d < channels:
        one = base + channels + d
        two = one + channels
        along_x = get(grad_values, one)
        along_y = get(grad_values, two)
        g1 = (along_x * t.q - t.n * along_y) * per_area
        g2 = (t.m * along_y - along_x * t.p) * per_area
        g0 = get(grad_values, base + d) - g1 - g2
        put(grad_values, base + d, g0)
        put(grad_values, one, g1)
        put(grad_values, two, g2)
        v1 = (get(values, one) - get(values, base + d)) * per_area
        v2 = (get(values, two) - get(values, base + d)) * per_area
        slope = wp.vec2(v1 * t.q - v2 * t.p, v2 * t.m - v1 * t.n)
        grad[0] -= slope * g0
        grad[1] -= slope * g1
        grad[2] -= slope * g2
        d += 1
    if t.area >= FLAT:
        grad_corners[row] = grad


@wp.struct
class Edge:
    """From (x, y) along (ex, ey)."""

    x: wp.float32
    y: wp.float32
    ex: wp.float32
    ey: wp.float32
    per_length2: wp.float32


@wp.func
def edge_of(corners: Corners, i: int, j: int) -> Edge:
    e = Edge()
    e.x = corners[i, 0]
    e.y = corners[i, 1]
    e.ex = corners[j, 0] - e.x
    e.ey = corners[j, 1] - e.y
    e.per_length2 = 1.0 / (e.ex * e.ex + e.ey * e.ey + LENGTH_EPS)
    return e


@wp.func
def foot_on(e: Edge, x: wp.float32, y: wp.float32) -> wp.float32:
    """Place of the edge's nearest point, 0 at its start and 1 at its end."""
    return wp.clamp(((x - e.x) * e.ex + (y - e.y) * e.ey) * e.per_length2, 0.0, 1.0)


@wp.func
def distance2(e: Edge, x: wp.float32, y: wp.float32) -> wp.float32:
    foot = foot_on(e, x, y)
    rx = x - e.x - foot * e.ex
    ry = y - e.y - foot * e.ey
    return rx * rx + ry * ry


@wp.func
def probability(z: wp.float32) -> wp.float32:
    p = wp.float32(0.0)
    if z < FADED:
        p = wp.exp(-z)
    return p


@wp.kernel
def fade_images(
    faces: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    knum: int,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    index: wp.array(dtype=wp.int64),
    states: wp.array(dtype=wp.int32),
    mask: wp.array(dtype=wp.float32),
):
    """One thread an image (the CPU's schedule): walk the faces in order over the uncovered pixels of their boxes."""
    image = wp.tid()
    first = image * height * width
    line = int(0)
    while line < height:
        # A covered pixel's state says how far its row stays covered: -1, -2, ... leftwards.
        covered = int(0)
        place = first + (line + 1) * width - 1
        start = first + line * width
        while place >= start:
            is_covered = get_key(index, place) >= wp.int64(0)
            covered = wp.where(is_covered, covered - 1, 0)
            put_state(states, place, wp.where(is_covered, covered, OPEN + knum))
            put(mask, place, wp.where(is_covered, 0.0, 1.0))
            place -= 1
        line += 1

    face = int(0)
    while face < faces:
        corner = corners[image * faces + face]
        ab = edge_of(corner, 0, 1)
        bc = edge_of(corner, 1, 2)
        ca = edge_of(corner, 2, 0)
        box = box_of(corner, boxlen, xs, ys, width, height)
        line = box.line
        while line < box.end_line:
            y = get(ys, height - 1 - line)
            start = first + line * width
            column = box.column
            while column < box.end_column:
                state = get_state(states, start + column)
                if state < 0:
                    column -= state
                else:
                    if state > face:
                        x = get(xs, column)
                        d2 = wp.min(wp.min(distance2(ab, x, y), distance2(bc, x, y)), distance2(ca, x, y))
                        missed = 1.0 - probability(sigmainv * d2)
                        put(mask, start + column, get(mask, start + column) * missed)
                        put_state(states, start + column, wp.where(state == OPEN + 1, face, state - 1))
                    column += 1
            line += 1
        face += 1

    place = first
    while place < first + height * width:
        put(mask, place, 1.0 - get(mask, place))
        place += 1


@wp.kernel
def mark_tiles(
    faces: int,
    words: int,
    tile: int,
    height: int,
    width: int,
    boxlen: wp.float32,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    marks: wp.array(dtype=wp.uint32),
):
    """One thread a face (the GPU's schedule, first half): set its bit in every tile its enlarged box touches."""
    row = wp.tid()
    image = row // faces
    face = row - image * faces
    box = box_of(corners[row], boxlen, xs, ys, width, height)
    if box.column >= box.end_column or box.line >= box.end_line:
        return
    tile_lines = (height + tile - 1) // tile
    tile_columns = (width + tile - 1) // tile
    bit = wp.uint32(1) << wp.uint32(face % 32)
    for line in range(box.line // tile, (box.end_line - 1) // tile + 1):
        for column in range(box.column // tile, (box.end_column - 1) // tile + 1):
            place = ((image * tile_lines + line) * tile_columns + column) * words + face // 32
            wp.atomic_add(marks, place, bit)  # each bit is set once: adding is or-ing


@wp.kernel
def fade_pixels(
    faces: int,
    words: int,
    tile: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    knum: int,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    index: wp.array(dtype=wp.int64),
    marks: wp.array(dtype=wp.uint32),
    states: wp.array(dtype=wp.int32),
    mask: wp.array(dtype=wp.float32),
):
    """One thread a pixel (the GPU's schedule, second half): walk the marked faces of its tile in order."""
    pixel = wp.tid()
    if index[pixel] >= wp.int64(0):
        states[pixel] = -1
        mask[pixel] = 1.0
        return
    image_line = pixel // width
    column = pixel - image_line * width
    image = image_line // height
    line = image_line - image * height
    x = xs[column]
    y = ys[height - 1 - line]
    tile_lines = (height + tile - 1) // tile
    tile_columns = (width + tile - 1) // tile
    marked = ((image * tile_lines + line // tile) * tile_columns + column // tile) * words
    state = int(OPEN + knum)
    missed = wp.float32(1.0)
    for word in range(words):
        bits = marks[marked + word]
        face = word * 32
        while bits != wp.uint32(0) and state > OPEN:
            if bits & wp.uint32(1) != wp.uint32(0):
                corner = corners[image * faces + face]
                box = box_of(corner, boxlen, xs, ys, width, height)
                inside_x = column >= box.column and column < box.end_column
                if inside_x and line >= box.line and line < box.end_line:
                    d2 = wp.min(distance2(edge_of(corner, 0, 1), x, y), distance2(edge_of(corner, 1, 2), x, y))
                    d2 = wp.min(d2, distance2(edge_of(corner, 2, 0), x, y))
                    missed *= 1.0 - probability(sigmainv * d2)
                    state = wp.where(state == OPEN + 1, face, state - 1)
            bits = bits >> wp.uint32(1)
            face += 1
    states[pixel] = state
    mask[pixel] = 1.0 - missed


@wp.kernel
def pull_silhouette(
    faces: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    xs: wp.array(dtype=wp.float32),
    ys: wp.array(dtype=wp.float32),
    corners: wp.array(dtype=Corners),
    states: wp.array(dtype=wp.int32),
    mask: wp.array(dtype=wp.float32),
    grad_mask: wp.array(dtype=wp.float32),
    grad_corners: wp.array(dtype=Corners),
):
    """One thread a face: gather the gradient of the uncovered pixels that listened to it.

    dL/d(d2) = -sigmainv g (1 - S) / (1 - p + eps) p, and the nearest point of the outline moves with the two ends of
    its edge in the proportion of its place on it; where it slides to along the edge changes nothing.
    """
    row = wp.tid()
    image = row // faces
    face = row - image * faces
    corner = corners[row]
    ab = edge_of(corner, 0, 1)
    bc = edge_of(corner, 1, 2)
    ca = edge_of(corner, 2, 0)
    grad = Corners()
    box = box_of(corner, boxlen, xs, ys, width, height)
    line = box.line
    while line < box.end_line:
        y = get(ys, height - 1 - line)
        start = (image * height + line) * width
        column = box.column
        while column < box.end_column:
            state = get_state(states, start + column)
            if state < 0:
                column -= state
            else:
                g = get(grad_mask, start + column)
                if state >= face and g != 0.0:
                    x = get(xs, column)
                    d2_ab = distance2(ab, x, y)
                    d2_bc = distance2(bc, x, y)
                    d2_ca = distance2(ca, x, y)
                    d2 = wp.min(wp.min(d2_ab, d2_bc), d2_ca)
                    p = probability(sigmainv * d2)
                    pull = 2.0 * sigmainv * g * p * (1.0 - get(mask, start + column)) / (1.0 - p + 1.0e-8)
                    here = wp.vec2(x, y)
                    if d2 == d2_ab:
                        foot = foot_on(ab, x, y)
                        force = pull * (here - corner[0] - foot * wp.vec2(ab.ex, ab.ey))
                        grad[0] += (1.0 - foot) * force
                        grad[1] += foot * force
                    elif d2 == d2_bc:
                        foot = foot_on(bc, x, y)
                        force = pull * (here - corner[1] - foot * wp.vec2(bc.ex, bc.ey))
                        grad[1] += (1.0 - foot) * force
                        grad[2] += foot * force
                    else:
                        foot = foot_on(ca, x, y)
                        force = pull * (here - corner[2] - foot * wp.vec2(ca.ex, ca.ey))
                        grad[2] += (1.0 - foot) * force
                        grad[0] += foot * force
                column += 1
        line += 1
    grad_corners[row] = grad
