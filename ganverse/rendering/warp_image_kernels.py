"""DIB-R on the CPU: a thread takes one image after another and does everything to it, while it is in the core's cache.

The steps are those of CUDA's kernels, in `warp_raster_kernels` and `warp_silhouette_kernels`.
"""

import warp as wp

from ganverse.rendering.warp_raster_kernels import EMPTY, add_pixel, draw_face, finish_face, shade_run
from ganverse.rendering.warp_silhouette_kernels import OPEN, listen, pull_rim, whole
from ganverse.rendering.warp_work import (
    Work,
    check_faces,
    fill,
    get,
    get_key,
    next_task,
    no_type_check,
    put,
    put_int,
    put_key,
)

# fuse_fp off: as in `warp_raster_kernels`.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@wp.func
@no_type_check
def draw_image(image: int, work: Work):
    """Empty an image's depth buffer, draw, shade."""
    first = image * work.height * work.width
    end = first + work.height * work.width
    pixel = first
    while pixel < end:
        put_key(work.face_index, pixel, EMPTY)
        pixel += 1
    row = image * work.faces
    while row < (image + 1) * work.faces:
        draw_face(row, image, work)
        row += 1
    pixel = first
    while pixel < end:
        shade_run(pixel, work.width, image, work)
        pixel += work.width


@wp.func
@no_type_check
def open_image(image: int, work: Work):
    """States and mask before any face is heard."""
    line = image * work.height
    while line < (image + 1) * work.height:
        # A covered pixel's state says how far its row stays covered: -1, -2, ... leftwards.
        covered = int(0)  # noqa: RUF046, UP018  (a variable to Warp, not a constant)
        start = line * work.width
        place = start + work.width - 1
        while place >= start:
            is_covered = get_key(work.face_index, place) >= wp.int64(0)
            covered = wp.where(is_covered, covered - 1, 0)
            put_int(work.states, place, wp.where(is_covered, covered, OPEN + work.knum))
            put(work.mask, place, wp.where(is_covered, 0.0, 1.0))
            place -= 1
        line += 1


@wp.func
@no_type_check
def fade_image(image: int, work: Work):
    """Let an image's uncovered pixels listen to the faces in order."""
    open_image(image, work)
    view = whole(work)
    face = int(0)  # noqa: RUF046, UP018
    while face < work.faces:
        listen(face, image, view, work)
        face += 1
    place = image * work.height * work.width
    while place < (image + 1) * work.height * work.width:
        put(work.mask, place, 1.0 - get(work.mask, place))
        place += 1


@wp.func
@no_type_check
def pull_features(image: int, work: Work):
    """Every pixel of an image adds to the gradients of its face, which begin at 0."""
    per_image = 3 * work.faces * work.channels
    fill(work.grad_values, image * per_image, (image + 1) * per_image, 0.0)
    line = int(0)  # noqa: RUF046, UP018
    while line < work.height:
        y = get(work.ys, work.height - 1 - line)
        start = (image * work.height + line) * work.width
        column = int(0)  # noqa: RUF046, UP018
        while column < work.width:
            face = get_key(work.face_index, start + column)
            if face >= wp.int64(0):
                row = image * work.faces + int(face)
                dx = get(work.xs, column) - get(work.corners, 6 * row)
                dy = y - get(work.corners, 6 * row + 1)
                add_pixel(start + column, row, dx, dy, work)
            column += 1
        line += 1
    row = image * work.faces
    while row < (image + 1) * work.faces:
        finish_face(row, work)
        row += 1


@wp.kernel
@no_type_check
def draw_images(work: Work):
    """Draw and fade images."""
    image = next_task(work.turn, wp.tid())
    while image < work.images:
        check_faces(image, image * work.faces, work.faces, work)
        if work.depth:
            draw_image(image, work)
        if work.mask:
            fade_image(image, work)
        image = next_task(work.turn, work.images)


@wp.kernel
@no_type_check
def pull_images(work: Work):
    """Gather the gradients of images."""
    image = next_task(work.turn, wp.tid())
    while image < work.images:
        row = image * work.faces
        fill(work.grad_corners, 6 * row, 6 * (row + work.faces), 0.0)
        if work.grad_features:
            pull_features(image, work)
        if work.grad_mask:
            while row < (image + 1) * work.faces:
                pull_rim(row, image, work)
                row += 1
        image = next_task(work.turn, work.images)
