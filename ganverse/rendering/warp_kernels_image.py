"""DIB-R on the CPU: a thread takes one image after another and does everything to it, while it is in the core's cache.

The steps are those of CUDA's kernels, in `warp_kernels_raster` and `warp_kernels_silhouette`.
"""

import warp as wp

from ganverse.rendering.warp_kernels_common import Box, Work, fill, flag_nonfinite, get, next_task, no_type_check, put
from ganverse.rendering.warp_kernels_raster import EMPTY, accumulate_pixel, draw_face, face_backward, interpolate_run
from ganverse.rendering.warp_kernels_silhouette import OPEN, accumulate_face, face_soft_backward

# fuse_fp off: as in `warp_kernels_raster`.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@wp.func
@no_type_check
def raster_image(image: int, work: Work):
    """Rasterize an image into an empty depth buffer, then interpolate."""
    first = image * work.height * work.width
    end = first + work.height * work.width
    fill(work.face_index, first, end, EMPTY)
    row = image * work.faces
    while row < (image + 1) * work.faces:
        draw_face(row, image, work)
        row += 1
    pixel = first
    while pixel < end:
        interpolate_run(pixel, work.width, image, work)
        pixel += work.width


@wp.func
@no_type_check
def open_image(image: int, work: Work):
    """States and mask before any face counts."""
    line = image * work.height
    while line < (image + 1) * work.height:
        # A covered pixel's state says how far its row stays covered: -1, -2, ... leftwards.
        covered = int(0)  # noqa: RUF046, UP018  (a variable to Warp, not a constant)
        start = line * work.width
        place = start + work.width - 1
        while place >= start:
            is_covered = get(work.face_index, place) >= wp.int64(0)
            covered = wp.where(is_covered, covered - 1, 0)
            put(work.states, place, wp.where(is_covered, covered, OPEN + work.knum))
            put(work.mask, place, wp.where(is_covered, 0.0, 1.0))
            place -= 1
        line += 1


@wp.func
@no_type_check
def soften_image(image: int, work: Work):
    """Accumulate the faces into an image's uncovered pixels in order."""
    open_image(image, work)
    view = Box()  # the whole image
    view.end_column = work.width
    view.end_line = work.height
    face = int(0)  # noqa: RUF046, UP018
    while face < work.faces:
        accumulate_face(face, image, view, work)
        face += 1
    place = image * work.height * work.width
    while place < (image + 1) * work.height * work.width:
        put(work.mask, place, 1.0 - get(work.mask, place))
        place += 1


@wp.func
@no_type_check
def raster_image_backward(image: int, work: Work):
    """Add every pixel of an image to the gradients of its face, which begin at 0."""
    per_image = 3 * work.faces * work.channels
    fill(work.grad_values, image * per_image, (image + 1) * per_image, 0.0)
    line = int(0)  # noqa: RUF046, UP018
    while line < work.height:
        y = get(work.ys, work.height - 1 - line)
        start = (image * work.height + line) * work.width
        column = int(0)  # noqa: RUF046, UP018
        while column < work.width:
            face = get(work.face_index, start + column)
            if face >= wp.int64(0):
                row = image * work.faces + int(face)
                dx = get(work.xs, column) - get(work.corners, 6 * row)
                dy = y - get(work.corners, 6 * row + 1)
                accumulate_pixel(start + column, row, dx, dy, work)
            column += 1
        line += 1
    row = image * work.faces
    while row < (image + 1) * work.faces:
        face_backward(row, work)
        row += 1


@wp.kernel
@no_type_check
def images_forward(work: Work):
    """Rasterize images, then their soft masks."""
    image = next_task(work.counter, wp.tid())
    while image < work.images:
        flag_nonfinite(image, image * work.faces, work.faces, work)
        if work.depth:
            raster_image(image, work)
        if work.mask:
            soften_image(image, work)
        image = next_task(work.counter, work.images)


@wp.kernel
@no_type_check
def images_backward(work: Work):
    """The gradients of images."""
    image = next_task(work.counter, wp.tid())
    while image < work.images:
        row = image * work.faces
        fill(work.grad_corners, 6 * row, 6 * (row + work.faces), 0.0)
        if work.grad_features:
            raster_image_backward(image, work)
        if work.grad_mask:
            while row < (image + 1) * work.faces:
                face_soft_backward(row, image, work)
                row += 1
        image = next_task(work.counter, work.images)
