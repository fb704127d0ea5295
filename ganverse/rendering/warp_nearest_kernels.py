"""The soft silhouette of the nearest faces, in Warp: `nearest=True`, the variant that Kaolin lacks.

A key orders the faces round a pixel: squared distance above, face index below. A pixel keeps its `knum` smallest keys
while a row of the image is worked on; what stays is its reach, the largest key it heard (every key if it heard fewer
than `knum`, -1 if it is covered). So the backward pass needs no list of pairs: a face was heard where its key is at
most the pixel's reach, which is exact because distances are computed alike in both passes (fuse_fp off).
One schedule for the CPU and CUDA; simple rather than fast.
"""

import warp as wp

from ganverse.rendering.warp_geometry import Corners, box_of, corners_of, put_gradient
from ganverse.rendering.warp_silhouette_kernels import LENGTH_EPS
from ganverse.rendering.warp_work import (
    Ints,
    Keys,
    Work,
    get,
    get_int,
    get_key,
    next_task,
    no_type_check,
    put,
    put_int,
    put_key,
)

wp.set_module_options({"enable_backward": False, "fuse_fp": False})

EVERY = wp.constant(wp.int64(2**63 - 1))


@wp.struct
@no_type_check
class Foot:
    """The outline's point nearest to a pixel: on the edge from corner `start`, a share t along; (x, y) from there."""

    d2: wp.float32
    x: wp.float32
    y: wp.float32
    t: wp.float32
    start: int


@wp.func
@no_type_check
def foot_of(corner: Corners, x: wp.float32, y: wp.float32) -> Foot:
    """Where the outline of a face is nearest to (x, y)."""
    foot = Foot()
    foot.d2 = wp.float32(3.0e38)
    for i in range(3):
        j = (i + 1) % 3
        ex = corner[j, 0] - corner[i, 0]
        ey = corner[j, 1] - corner[i, 1]
        dx = x - corner[i, 0]
        dy = y - corner[i, 1]
        t = wp.clamp((dx * ex + dy * ey) / (ex * ex + ey * ey + LENGTH_EPS), 0.0, 1.0)
        rx = dx - t * ex
        ry = dy - t * ey
        d2 = rx * rx + ry * ry
        if d2 < foot.d2:
            foot.d2 = d2
            foot.x = rx
            foot.y = ry
            foot.t = t
            foot.start = i
    return foot


@wp.func
@no_type_check
def spans(corner: Corners, margin: wp.float32, y: wp.float32) -> bool:
    """Whether the enlarged box of a face holds points at this height."""
    ymin = wp.min(wp.min(corner[0, 1], corner[1, 1]), corner[2, 1]) - margin
    ymax = wp.max(wp.max(corner[0, 1], corner[1, 1]), corner[2, 1]) + margin
    return ymin <= y and y < ymax


@wp.func
@no_type_check
def key_of(d2: wp.float32, face: int) -> wp.int64:
    """Rises with the distance, and with the face where distances are equal."""
    return (wp.int64(wp.cast(d2, wp.int32)) << wp.int64(32)) | wp.int64(face)


@wp.func_native("""
    wp::int64* list = lists.data + static_cast<size_t>(pixel) * knum;
    wp::int32& heard = counts.data[pixel];
    if (heard == knum && list[knum - 1] <= key) return;
    int place = heard < knum ? heard++ : knum - 1;
    for (; place > 0 && list[place - 1] > key; --place) list[place] = list[place - 1];
    list[place] = key;
""")
@no_type_check
def insert(key: wp.int64, pixel: int, knum: int, lists: Keys, counts: Ints):
    """Put a key into a pixel's rising list of its `knum` smallest."""


@wp.func
@no_type_check
def finish_pixel(pixel: int, work: Work):
    """Fade a pixel by the faces on its list, and note its reach."""
    heard = get_int(work.counts, pixel)
    missed = wp.float32(1.0)
    for i in range(heard):
        key = get_key(work.lists, pixel * work.knum + i)
        missed *= 1.0 - wp.exp(-work.sigmainv * wp.cast(wp.int32(key >> wp.int64(32)), wp.float32))
    put(work.mask, pixel, 1.0 - missed)
    put_key(work.reach, pixel, EVERY)
    if heard == work.knum:
        put_key(work.reach, pixel, get_key(work.lists, pixel * work.knum + work.knum - 1))
    if get_key(work.face_index, pixel) >= wp.int64(0):
        put(work.mask, pixel, 1.0)
        put_key(work.reach, pixel, wp.int64(-1))


@wp.func
@no_type_check
def fade_row(row: int, work: Work):
    """The pixels of a row of an image hear the faces, keep the nearest and fade."""
    image = row // work.height
    y = get(work.ys, work.height - 1 - (row - image * work.height))
    first = row * work.width
    for column in range(work.width):
        put_int(work.counts, first + column, 0)
    for face in range(work.faces):
        corner = corners_of(image * work.faces + face, work)
        if spans(corner, work.boxlen, y):  # spares most faces the search for their columns
            box = box_of(corner, work.boxlen, work)
            for column in range(box.column, box.end_column):
                if get_key(work.face_index, first + column) < wp.int64(0):
                    foot = foot_of(corner, get(work.xs, column), y)
                    insert(key_of(foot.d2, face), first + column, work.knum, work.lists, work.counts)
    for column in range(work.width):
        finish_pixel(first + column, work)


@wp.func
@no_type_check
def pull_face(row: int, work: Work):
    """A face looks for the pixels that heard it. For the formula see `warp_silhouette_kernels`."""
    image = row // work.faces
    face = row - image * work.faces
    corner = corners_of(row, work)
    box = box_of(corner, work.boxlen, work)
    grad = Corners()
    for line in range(box.line, box.end_line):
        for column in range(box.column, box.end_column):
            pixel = (image * work.height + line) * work.width + column
            if get_key(work.reach, pixel) >= wp.int64(0):
                foot = foot_of(corner, get(work.xs, column), get(work.ys, work.height - 1 - line))
                if key_of(foot.d2, face) <= get_key(work.reach, pixel):
                    p = wp.exp(-work.sigmainv * foot.d2)
                    missed = 1.0 - get(work.mask, pixel)
                    pull = 2.0 * work.sigmainv * get(work.grad_mask, pixel) * p * missed / (1.0 - p + 1.0e-8)
                    force = wp.vec2(pull * foot.x, pull * foot.y)
                    grad[foot.start] += (1.0 - foot.t) * force
                    grad[(foot.start + 1) % 3] += foot.t * force
    put_gradient(grad, row, work)


@wp.kernel
@no_type_check
def fade_rows(work: Work):
    """Fade rows of images."""
    row = next_task(work.turn, wp.tid())
    while row < work.images * work.height:
        fade_row(row, work)
        row = next_task(work.turn, work.images * work.height)


@wp.kernel
@no_type_check
def pull_nearest(work: Work):
    """Gather the gradients of faces."""
    row = next_task(work.turn, wp.tid())
    while row < work.images * work.faces:
        pull_face(row, work)
        row = next_task(work.turn, work.images * work.faces)
