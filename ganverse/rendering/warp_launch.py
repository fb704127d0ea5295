"""Runs Warp kernels on torch's memory, on the CPU with several threads.

A launch is recorded once per thread and kernel and then only gets new addresses and sizes, which is several times
cheaper than `wp.launch`. A CPU launch is serial but releases the GIL: several threads launch the same kernel on the
same work, and each takes the next task until all are done.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
import warp as wp
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from ganverse.geometry.cameras import pixel_axes
from ganverse.rendering.scene import SoftMaskSettings
from ganverse.rendering.warp_kernels_common import Work

# Places in a kernel's arrays are counted in 32 bits.
MOST_PLACES = 2**31 - 1


class Buffers(NamedTuple):
    """The tensors of a pass, behind the arrays of `warp_kernels_common.Work`. An absent one leaves a step out: without
    depth the index is given and nothing rasterized, without mask there is no soft mask, without a gradient none is
    propagated.

    states: see `warp_kernels_silhouette`. nonfinite: 1 where a position is not finite, 0 at first. marks: the faces
    near each tile of an image, a bit each.
    """

    corners: Float[Tensor, "b f 3 2"]
    face_index: Int64[Tensor, "b h w"]
    z: Float[Tensor, "b f 3"] | None = None
    values: Float[Tensor, "b f 3 d"] | None = None
    drawn: Bool[Tensor, "b f"] | None = None
    slopes: Float[Tensor, "b f 2 d"] | None = None
    depth: Float[Tensor, "b h w"] | None = None
    features: Float[Tensor, "b h w d"] | None = None
    states: Int32[Tensor, "b h w"] | None = None
    mask: Float[Tensor, "b h w"] | None = None
    nonfinite: Int32[Tensor, " b"] | None = None
    marks: Int32[Tensor, "b tiles words"] | None = None
    grad_features: Float[Tensor, "b h w d"] | None = None
    grad_mask: Float[Tensor, "b h w"] | None = None
    grad_corners: Float[Tensor, "b f 3 2"] | None = None
    grad_values: Float[Tensor, "b f 3 d"] | None = None

    def parts(self) -> list["Buffers"]:
        """The pass in parts of the batch whose places can be counted; mostly it is one."""
        batch, channels = len(self.corners), 0 if self.slopes is None else self.slopes.shape[-1]
        places = max(t.shape[1] * t.shape[2] * max(channels, 2) for t in (self.corners, self.face_index))
        size = max(1, min(batch, MOST_PLACES // max(places, 1)))
        if size == batch:
            return [self]
        slices = [slice(first, first + size) for first in range(0, batch, size)]
        return [Buffers._make(None if tensor is None else tensor[images] for tensor in self) for images in slices]


def launch(kernel: Any, threads: int, buffers: Buffers, settings: SoftMaskSettings) -> None:
    """Runs a kernel with one parameter, a `Work`, on torch's stream."""
    device = buffers.corners.device
    if threads == 0:
        return
    command = _recording(kernel, device).filled(buffers, settings, None)
    command.set_dim(threads)
    command.launch(None if device.type == "cpu" else wp.stream_from_torch(torch.cuda.current_stream(device)))


def share(kernel: Any, tasks: int, buffers: Buffers, settings: SoftMaskSettings) -> None:
    """Runs a kernel that takes its tasks by `next_task`: on the CPU torch's threads share them, on CUDA each gets one.

    A late thread, whose core slept or serves another process, finds fewer tasks left, and none if all are taken; it is
    not waited for.
    """
    if buffers.corners.device.type != "cpu":
        launch(kernel, tasks, buffers, settings)
        return
    counter = torch.zeros(1, dtype=torch.int32)
    command = _recording(kernel, counter.device).filled(buffers, settings, counter)
    calls = [worker_pool().submit(command.launch) for _ in range(min(torch.get_num_threads(), tasks) - 1)]
    command.launch()
    for call in calls:
        if not call.cancel():
            call.result()


class _Recording:
    """A launch on one device, whose `Work` can be written anew."""

    def __init__(self, kernel: Any, device: torch.device) -> None:
        self.command = wp.launch(kernel, 1, [Work()], device=wp.device_from_torch(device), record_cmd=True)
        self.work = self.command.params[1]
        self.arrays = [getattr(self.work, name) for name in ("xs", "ys", *Buffers._fields, "counter")]

    def filled(self, buffers: Buffers, settings: SoftMaskSettings, counter: Tensor | None) -> Any:
        """The launch with these sizes, settings and addresses; kernels read only an array's address."""
        work = self.work
        work.images, work.faces = buffers.corners.shape[:2]
        work.channels = 0 if buffers.slopes is None else buffers.slopes.shape[-1]
        work.height, work.width = buffers.face_index.shape[1:]
        work.sigmainv, work.boxlen, work.knum = settings.sigmainv, settings.boxlen, settings.knum
        tensors = (*_rising_axes(work.height, work.width, buffers.corners.device), *buffers, counter)
        for array, tensor in zip(self.arrays, tensors, strict=True):
            array.data = 0 if tensor is None else tensor.data_ptr()
        return self.command


_recordings = threading.local()  # each thread's own


def _recording(kernel: Any, device: torch.device) -> _Recording:
    """This thread's recorded launch of a kernel."""
    made: dict[tuple[Any, torch.device], _Recording] = vars(_recordings).setdefault("made", {})
    if (kernel, device) not in made:
        made[kernel, device] = _Recording(kernel, device)
    return made[kernel, device]


@cache  # never evicted: kernels may still read them after the call
def _rising_axes(
    height: int, width: int, device: torch.device
) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """Pixel centers in NDC, both rising: x of every column, y of every row from the bottom up."""
    x_of_column, y_of_row = pixel_axes(height, width, device=device)
    return x_of_column, y_of_row.flip(0)


@cache
def worker_pool() -> ThreadPoolExecutor:
    """This process's threads, as many as were ever needed at once."""
    return ThreadPoolExecutor(os.cpu_count(), "ganverse-rendering")


# Threads do not survive a fork; a child starts its own.
os.register_at_fork(after_in_child=worker_pool.cache_clear)
