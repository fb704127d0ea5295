"""DIB-R on the CPU: a thread takes one image after another and does everything to it, while it is in the core's cache.

The steps are those of CUDA's kernels, in `warp_raster_kernels` and `warp_silhouette_kernels`. An absent array leaves a
step out: without depth nothing is drawn, without a mask nothing is faded, without a gradient nothing is pulled.
"""

import warp as wp

from ganverse.rendering.warp_geometry import (
    Box,
    Flags,
    Floats,
    Ints,
    Keys,
    get,
    get_key,
    next_task,
    no_type_check,
    put,
    put_int,
    put_key,
)
from ganverse.rendering.warp_raster_kernels import EMPTY, add_pixel, draw_face, finish_face, shade_run
from ganverse.rendering.warp_silhouette_kernels import OPEN, listen, pull_rim

# fuse_fp off: as in `warp_raster_kernels`.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})


@wp.func
@no_type_check
def draw_image(
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
    slopes: Floats,
    keys: Keys,
    depth: Floats,
    features: Floats,
):
    """Empty an image's depth buffer, draw, shade."""
    first = image * height * width
    end = first + height * width
    pixel = first
    while pixel < end:
        put_key(keys, pixel, EMPTY)
        pixel += 1
    row = image * faces
    while row < (image + 1) * faces:
        draw_face(row, image, faces, channels, height, width, xs, ys, corners, z, values, drawn, keys, slopes)
        row += 1
    pixel = first
    while pixel < end:
        shade_run(
            pixel, width, image, faces, channels, height, width, xs, ys, corners, values, slopes, keys, depth, features
        )
        pixel += width


@wp.func
@no_type_check
def fade_image(
    image: int,
    faces: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    knum: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    index: Keys,
    states: Ints,
    mask: Floats,
):
    """Let an image's uncovered pixels listen to the faces in order."""
    first = image * height * width
    line = int(0)  # noqa: RUF046, UP018  (a variable to Warp, not a constant)
    while line < height:
        # A covered pixel's state says how far its row stays covered: -1, -2, ... leftwards.
        covered = int(0)  # noqa: RUF046, UP018
        start = first + line * width
        place = start + width - 1
        while place >= start:
            is_covered = get_key(index, place) >= wp.int64(0)
            covered = wp.where(is_covered, covered - 1, 0)
            put_int(states, place, wp.where(is_covered, covered, OPEN + knum))
            put(mask, place, wp.where(is_covered, 0.0, 1.0))
            place -= 1
        line += 1
    view = Box()
    view.end_column = width
    view.end_line = height
    face = int(0)  # noqa: RUF046, UP018
    while face < faces:
        listen(face, image, faces, height, width, sigmainv, boxlen, xs, ys, corners, view, states, mask)
        face += 1
    place = first
    while place < first + height * width:
        put(mask, place, 1.0 - get(mask, place))
        place += 1


@wp.func
@no_type_check
def pull_features(
    image: int,
    faces: int,
    channels: int,
    height: int,
    width: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    slopes: Floats,
    index: Keys,
    grad_features: Floats,
    grad_corners: Floats,
    grad_values: Floats,
):
    """Every pixel of an image adds to the gradients of its face, which begin at 0."""
    line = int(0)  # noqa: RUF046, UP018
    while line < height:
        y = get(ys, height - 1 - line)
        start = (image * height + line) * width
        column = int(0)  # noqa: RUF046, UP018
        while column < width:
            face = get_key(index, start + column)
            if face >= wp.int64(0):
                row = image * faces + int(face)
                dx = get(xs, column) - get(corners, 6 * row)
                dy = y - get(corners, 6 * row + 1)
                add_pixel(start + column, row, dx, dy, channels, grad_features, grad_values)
            column += 1
        line += 1
    row = image * faces
    while row < (image + 1) * faces:
        finish_face(row, channels, corners, slopes, grad_corners, grad_values)
        row += 1


@wp.kernel
@no_type_check
def draw_images(
    faces: int,
    channels: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    knum: int,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    z: Floats,
    values: Floats,
    drawn: Flags,
    slopes: Floats,
    index: Keys,
    depth: Floats,
    features: Floats,
    states: Ints,
    mask: Floats,
    images: int,
    tasks: Ints,
):
    """Draw and fade images."""
    image = next_task(tasks, wp.tid())
    while image < images:
        if depth:
            draw_image(
                image,
                faces,
                channels,
                height,
                width,
                xs,
                ys,
                corners,
                z,
                values,
                drawn,
                slopes,
                index,
                depth,
                features,
            )
        if mask:
            fade_image(image, faces, height, width, sigmainv, boxlen, knum, xs, ys, corners, index, states, mask)
        image = next_task(tasks, images)


@wp.kernel
@no_type_check
def pull_images(
    faces: int,
    channels: int,
    height: int,
    width: int,
    sigmainv: wp.float32,
    boxlen: wp.float32,
    xs: Floats,
    ys: Floats,
    corners: Floats,
    drawn: Flags,
    slopes: Floats,
    index: Keys,
    states: Ints,
    mask: Floats,
    grad_features: Floats,
    grad_mask: Floats,
    grad_corners: Floats,
    grad_values: Floats,
    images: int,
    tasks: Ints,
):
    """Gather the gradients of images."""
    image = next_task(tasks, wp.tid())
    while image < images:
        i = 6 * image * faces
        while i < 6 * (image + 1) * faces:
            put(grad_corners, i, 0.0)
            i += 1
        if grad_features:
            i = 3 * image * faces * channels
            while i < 3 * (image + 1) * faces * channels:
                put(grad_values, i, 0.0)
                i += 1
            pull_features(
                image,
                faces,
                channels,
                height,
                width,
                xs,
                ys,
                corners,
                slopes,
                index,
                grad_features,
                grad_corners,
                grad_values,
            )
        if grad_mask:
            row = image * faces
            while row < (image + 1) * faces:
                pull_rim(
                    row,
                    image,
                    faces,
                    height,
                    width,
                    sigmainv,
                    boxlen,
                    xs,
                    ys,
                    corners,
                    states,
                    mask,
                    grad_mask,
                    grad_corners,
                )
                row += 1
        image = next_task(tasks, images)
