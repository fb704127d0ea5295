"""Running Warp kernels on torch's memory, on the CPU with several threads.

A launch is recorded once per thread and kernel and then only gets new addresses and numbers, which is several times
cheaper than `wp.launch`. On the CPU a launch is serial but releases the GIL: several threads launch the same kernel on
the same work, and each takes what task comes next until all are done.
"""

import threading
from functools import cache
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from ganverse.rendering.reference import pixel_centers
from ganverse.rendering.scene import Rim
from ganverse.rendering.warp_buffers import Buffers
from ganverse.rendering.warp_threads import team
from ganverse.rendering.warp_work import Work

# Places in a kernel's arrays are counted in 32 bits.
MOST_PLACES = 2**31 - 1


def launch(kernel: Any, threads: int, buffers: Buffers, rim: Rim) -> None:
    """Run a kernel of one parameter, a `Work`, on torch's stream."""
    device = buffers.corners.device
    if threads == 0:
        return
    command = _recording(kernel, device).filled(buffers, rim, None)
    command.set_dim(threads)
    command.launch(None if device.type == "cpu" else wp.stream_from_torch(torch.cuda.current_stream(device)))


def share(kernel: Any, tasks: int, buffers: Buffers, rim: Rim) -> None:
    """Run a kernel that takes its tasks by `next_task`: on the CPU torch's threads share them, on CUDA each gets one.

    A thread that is late, because its core slept or serves another process, finds fewer tasks left, and if none it is
    not waited for.
    """
    if buffers.corners.device.type != "cpu":
        launch(kernel, tasks, buffers, rim)
        return
    turn = torch.zeros(1, dtype=torch.int32)
    command = _recording(kernel, turn.device).filled(buffers, rim, turn)
    helpers = team().help(command.launch, min(torch.get_num_threads(), tasks) - 1)
    command.launch()
    for helper in helpers:
        helper.finish()


class _Recording:
    """A launch on one device, whose `Work` can be written anew."""

    def __init__(self, kernel: Any, device: torch.device) -> None:
        self.command = wp.launch(kernel, 1, [Work()], device=wp.device_from_torch(device), record_cmd=True)
        self.work = self.command.params[1]
        self.arrays = [getattr(self.work, name) for name in ("xs", "ys", *Buffers._fields, "turn")]

    def filled(self, buffers: Buffers, rim: Rim, turn: Tensor | None) -> Any:
        """The launch with these sizes, settings and addresses; kernels read no more of an array than its address."""
        work = self.work
        work.images, work.faces = buffers.corners.shape[:2]
        work.channels = 0 if buffers.slopes is None else buffers.slopes.shape[-1]
        work.height, work.width = buffers.face_index.shape[1:]
        work.sigmainv, work.boxlen, work.knum, _ = rim
        tensors = (*centers(work.height, work.width, buffers.corners.device), *buffers, turn)
        for array, tensor in zip(self.arrays, tensors, strict=True):
            array.data = 0 if tensor is None else tensor.data_ptr()
        return self.command


class _Recordings(threading.local):
    """Each thread's own, by kernel and device."""

    def __init__(self) -> None:
        self.made: dict[tuple[Any, torch.device], _Recording] = {}


_recordings = _Recordings()


def _recording(kernel: Any, device: torch.device) -> _Recording:
    """This thread's recorded launch of a kernel."""
    made = _recordings.made
    if (kernel, device) not in made:
        made[kernel, device] = _Recording(kernel, device)
    return made[kernel, device]


def parts(batch: int, places: int) -> list[slice]:
    """Slices of a batch for one launch each. places: elements of an image's largest array."""
    size = max(1, min(batch, MOST_PLACES // max(places, 1)))
    return [slice(first, min(first + size, batch)) for first in range(0, batch, size)]


@cache  # for good: kernels may still be reading when the call is over
def centers(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """Pixel centers in NDC, both rising: x of every column, y of every row from the bottom up."""
    x_of_column, y_of_row = pixel_centers(height, width, torch.empty(0, device=device))
    return x_of_column, y_of_row.flip(0)
