"""What a pass of DIB-R's Warp kernels reads and writes, and how kernels get at it.

Arrays are flat. xs and ys hold the pixel centers in NDC, both rising: ys counts lines from the bottom, so line r of an
image lies at ys[height - 1 - r].
"""

from typing import TypeVar

import warp as wp

T = TypeVar("T")

Floats = wp.array(dtype=wp.float32)
Ints = wp.array(dtype=wp.int32)
Keys = wp.array(dtype=wp.int64)
Flags = wp.array(dtype=wp.bool)


def no_type_check(thing: T) -> T:
    """Marks what Warp compiles: its annotations are Warp's language, not Python's types.

    The import hook of jaxtyping goes by this name. `typing.no_type_check` would hide the annotations from Warp as well.
    """
    return thing


@wp.struct
@no_type_check
class Work:
    """A pass as kernels see it: sizes, the rim's settings, pixel centers, `Buffers`, and the task in turn."""

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
    strange: Ints
    marks: Ints
    lists: Keys
    counts: Ints
    reach: Keys
    grad_features: Floats
    grad_mask: Floats
    grad_corners: Floats
    grad_values: Floats
    turn: Ints


# Warp's own indexing also accepts negative places, which keeps the compiler from working on several at a time.
@no_type_check
def _readers():
    # Inside a function, because Warp wants this decorator to be the only one where a result is declared.
    @wp.func_native("return values.data[place];")
    def get(values: Floats, place: int) -> wp.float32:
        """values[place]."""

    @wp.func_native("return values.data[place];")
    def get_int(values: Ints, place: int) -> int:
        """values[place]."""

    @wp.func_native("return values.data[place];")
    def get_key(values: Keys, place: int) -> wp.int64:
        """values[place]."""

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
        if (!turn.data) return otherwise;
    #if defined(__CUDA_ARCH__)
        return atomicAdd(turn.data, 1);
    #else
        return __atomic_fetch_add(turn.data, 1, __ATOMIC_RELAXED);
    #endif
    """)
    def next_task(turn: Ints, otherwise: int) -> int:
        """The next of the tasks that threads share (see `warp_launch.share`); `otherwise` where they share none."""

    return get, get_int, get_key, is_finite, is_set, next_task


get, get_int, get_key, is_finite, is_set, next_task = _readers()


@wp.func_native("values.data[place] = value;")
@no_type_check
def put(values: Floats, place: int, value: wp.float32):
    """values[place] = value."""


@wp.func_native("values.data[place] = value;")
@no_type_check
def put_int(values: Ints, place: int, value: int):
    """values[place] = value."""


@wp.func_native("values.data[place] = value;")
@no_type_check
def put_key(values: Keys, place: int, value: wp.int64):
    """values[place] = value."""


@wp.func_native("for (int i = first; i < end; ++i) values.data[i] = value;")
@no_type_check
def fill(values: Floats, first: int, end: int, value: wp.float32):
    """values[first:end] = value."""


@wp.func
@no_type_check
def check_faces(image: int, row: int, rows: int, work: Work):
    """Say so if a position of `rows` faces of an image is not finite. What is drawn of them has no meaning."""
    strange = not is_finite(work.corners, 6 * row, 6 * (row + rows))
    if work.z:
        strange = strange or not is_finite(work.z, 3 * row, 3 * (row + rows))
    if strange:
        put_int(work.strange, image, 1)
