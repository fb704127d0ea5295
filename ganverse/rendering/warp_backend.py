"""DIB-R on Warp's kernels, on the CPU and on CUDA, in float32; the same function set as the reference.

The kernels read torch's memory in place. On the CPU the batch is cut into parts by image, one part a thread of
`torch.get_num_threads()`: a launch releases the GIL, and no two threads ever write to the same image.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Literal

import torch
import warp as wp
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ganverse.rendering import reference


def _start_quietly() -> None:
    """Start Warp without its greeting and, where torch sees no GPU, without its complaint that there is none."""
    if wp.config.log_level == wp.LOG_INFO:
        wp.config.log_level = wp.LOG_WARNING
    if torch.cuda.is_available():
        wp.init()
        return
    stderr = os.dup(2)  # the complaint is printed by Warp's C++ code
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        wp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


_start_quietly()

from ganverse.rendering import warp_kernels as kernels  # noqa: E402  (importing kernels starts Warp)

# Side of a tile of the GPU's schedule, in pixels.
TILE = 16
# Places in a launch are 32-bit.
MOST_PLACES = 2**31 - 1

Schedule = Literal["cpu", "gpu"]


def why_not(device_type: str) -> str:
    """Why Warp cannot work on this kind of device; empty if it can."""
    if device_type == "cpu" or (device_type == "cuda" and wp.is_cuda_available()):
        return ""
    return "no CUDA driver that Warp can use" if device_type == "cuda" else "Warp has no such device"


def rasterize(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_vertices_z: Float[Tensor, "b f 3"],
    face_features: Float[Tensor, "b f 3 d"],
    height: int,
    width: int,
    front_facing: Bool[Tensor, "b f"] | None,
) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Features, face index and depth; see `ganverse.rendering.rasterization.rasterize`."""
    drawn = None if front_facing is None else front_facing.contiguous()
    return _Rasterize.apply(
        face_vertices_image.contiguous(),
        face_vertices_z.detach().contiguous(),
        face_features.contiguous(),
        drawn,
        height,
        width,
    )


def soft_silhouette(
    face_vertices_image: Float[Tensor, "b f 3 2"],
    face_index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
) -> Float[Tensor, "b h w"]:
    """Soft mask; see `ganverse.rendering.rasterization.soft_silhouette`."""
    return _SoftSilhouette.apply(face_vertices_image.contiguous(), face_index.contiguous(), sigmainv, boxlen, knum)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        corners: Float[Tensor, "b f 3 2"],
        z: Float[Tensor, "b f 3"],
        values: Float[Tensor, "b f 3 d"],
        drawn: Bool[Tensor, "b f"] | None,
        height: int,
        width: int,
    ) -> tuple[Float[Tensor, "b h w d"], Int64[Tensor, "b h w"], Float[Tensor, "b h w"]]:
        batch, faces, _, channels = values.shape
        index = torch.full((batch, height, width), kernels.NO_FACE.value, dtype=torch.int64, device=corners.device)
        depth = corners.new_empty(batch, height, width)
        features = values.new_empty(batch, height, width, channels)
        xs, ys = _centres(height, width, corners.device)
        on_cpu = corners.device.type == "cpu"
        run = width if on_cpu else 1

        def draw(part: slice) -> None:
            images = depth[part].shape[0]
            mesh, keys = _faces(corners[part]), _flat(index[part])
            launch = _launcher(corners.device)
            z_of_part, drawn_of_part = _vectors(z[part]), None if drawn is None else _flat(drawn[part])
            launch(
                kernels.draw_faces,
                images * faces,
                [faces, height, width, xs, ys, mesh, z_of_part, drawn_of_part, keys],
            )
            outputs = [keys, _flat(depth[part]), _flat(features[part])]
            launch(
                kernels.shade_pixels,
                images * height * width // run,
                [run, faces, channels, height, width, xs, ys, mesh, _flat(values[part]), *outputs],
            )

        _for_parts(draw, batch, height * width * max(channels, 1), corners.device)
        ctx.save_for_backward(corners, values, drawn, index)
        ctx.mark_non_differentiable(index, depth)
        return features, index, depth

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_features: Float[Tensor, "b h w d"], *_: Tensor | None):
        corners, values, drawn, index = ctx.saved_tensors
        batch, faces, _, channels = values.shape
        height, width = index.shape[1:]
        xs, ys = _centres(height, width, corners.device)
        grad_features = grad_features.contiguous()
        grad_corners, grad_values = torch.empty_like(corners), torch.empty_like(values)

        def pull(part: slice) -> None:
            mesh, drawn_of_part = _faces(corners[part]), None if drawn is None else _flat(drawn[part])
            inputs = [_flat(values[part]), drawn_of_part, _flat(index[part]), _flat(grad_features[part])]
            outputs = [_faces(grad_corners[part]), _flat(grad_values[part])]
            _launcher(corners.device)(
                kernels.pull_features,
                index[part].shape[0] * faces,
                [faces, channels, height, width, xs, ys, mesh, *inputs, *outputs],
            )

        _for_parts(pull, batch, height * width * max(channels, 1), corners.device)
        return grad_corners, None, grad_values, None, None, None


class _SoftSilhouette(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        corners: Float[Tensor, "b f 3 2"],
        index: Int64[Tensor, "b h w"],
        sigmainv: float,
        boxlen: float,
        knum: int,
    ) -> Float[Tensor, "b h w"]:
        schedule: Schedule = "cpu" if corners.device.type == "cpu" else "gpu"
        mask, states = fade(corners, index, sigmainv, boxlen, knum, schedule)
        ctx.save_for_backward(corners, states, mask)
        ctx.sigmainv, ctx.boxlen = sigmainv, boxlen
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_mask: Float[Tensor, "b h w"]):
        corners, states, mask = ctx.saved_tensors
        batch, height, width = mask.shape
        faces = corners.shape[1]
        xs, ys = _centres(height, width, corners.device)
        grad_mask = grad_mask.contiguous()
        grad_corners = torch.empty_like(corners)

        def pull(part: slice) -> None:
            pixels = [_flat(states[part]), _flat(mask[part]), _flat(grad_mask[part])]
            _launcher(corners.device)(
                kernels.pull_silhouette,
                mask[part].shape[0] * faces,
                [faces, height, width, ctx.sigmainv, ctx.boxlen, xs, ys, _faces(corners[part]), *pixels]
                + [_faces(grad_corners[part])],
            )

        _for_parts(pull, batch, height * width, corners.device)
        return grad_corners, None, None, None, None


def fade(
    corners: Float[Tensor, "b f 3 2"],
    index: Int64[Tensor, "b h w"],
    sigmainv: float,
    boxlen: float,
    knum: int,
    schedule: Schedule,
) -> tuple[Float[Tensor, "b h w"], Int32[Tensor, "b h w"]]:
    """Soft mask, and per pixel the last face it listened to (`OPEN` and above: all; negative: covered).

    Either schedule runs on either device; the tests compare them on the CPU.
    """
    batch, height, width = index.shape
    faces = corners.shape[1]
    mask = corners.new_empty(batch, height, width)
    states = torch.empty(batch, height, width, dtype=torch.int32, device=index.device)
    xs, ys = _centres(height, width, corners.device)
    words = (faces + 31) // 32

    def by_image(part: slice) -> None:
        outputs = [_flat(states[part]), _flat(mask[part])]
        inputs = [sigmainv, boxlen, knum, xs, ys, _faces(corners[part]), _flat(index[part])]
        _launcher(corners.device)(kernels.fade_images, mask[part].shape[0], [faces, height, width, *inputs, *outputs])

    def by_pixel(part: slice) -> None:
        images = mask[part].shape[0]
        tiles = -(-height // TILE) * -(-width // TILE)
        marks = _flat(torch.zeros(images * tiles * words, dtype=torch.int32, device=index.device), wp.uint32)
        mesh, launch = _faces(corners[part]), _launcher(corners.device)
        size = [faces, words, TILE, height, width]
        launch(kernels.mark_tiles, images * faces, [*size, boxlen, xs, ys, mesh, marks])
        pixels = [_flat(index[part]), marks, _flat(states[part]), _flat(mask[part])]
        launch(kernels.fade_pixels, images * height * width, [*size, sigmainv, boxlen, knum, xs, ys, mesh, *pixels])

    _for_parts(by_image if schedule == "cpu" else by_pixel, batch, height * width, corners.device)
    return mask, states


@lru_cache(maxsize=32)
def _centres(height: int, width: int, device: torch.device) -> tuple[object, object]:
    """Pixel centres as Warp reads them: x of every column, y of every row from the bottom up."""
    like = torch.empty(0, device=device)
    x_of_column, y_of_row = reference.pixel_centres(height, width, like)
    return _flat(x_of_column), _flat(y_of_row.flip(0))


def _flat(tensor: Tensor, dtype: type | None = None) -> object:
    return wp.from_torch(tensor.detach().view(-1), dtype=dtype, return_ctype=True)


def _faces(corners: Float[Tensor, "b f 3 2"]) -> object:
    return wp.from_torch(corners.detach().view(-1, 3, 2), dtype=kernels.Corners, return_ctype=True)


def _vectors(z: Float[Tensor, "b f 3"]) -> object:
    return wp.from_torch(z.detach().view(-1, 3), dtype=wp.vec3, return_ctype=True)


def _launcher(device: torch.device) -> Callable[[object, int, list], None]:
    """Launches a kernel on the device, on torch's current stream."""
    if device.type == "cpu":
        return lambda kernel, threads, inputs: wp.launch(kernel, threads, inputs, device="cpu", record_tape=False)
    stream = wp.stream_from_torch(torch.cuda.current_stream(device))
    return lambda kernel, threads, inputs: wp.launch(kernel, threads, inputs, stream=stream, record_tape=False)


def _for_parts(work: Callable[[slice], None], batch: int, places: int, device: torch.device) -> None:
    """Call `work` on slices of the batch: one a thread on the CPU, and none with more places than a launch counts."""
    threads = min(torch.get_num_threads(), batch) if device.type == "cpu" else 1
    most = max(1, MOST_PLACES // max(places, 1))
    size = min(-(-batch // max(threads, 1)), most)
    parts = [slice(first, min(first + size, batch)) for first in range(0, batch, max(size, 1))]
    if len(parts) == 1 or threads == 1:
        for part in parts:
            work(part)
    else:
        wp.load_module(kernels, device="cpu")
        list(_pool(os.getpid(), threads).map(work, parts))


@lru_cache(maxsize=1)
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork: the process id makes a child start its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="ganverse-rendering")
