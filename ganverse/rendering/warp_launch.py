"""Running Warp kernels on torch's memory, on the CPU with several threads.

A launch is recorded once per thread and kernel and then only gets new addresses and numbers, which is several times
cheaper than `wp.launch`. On the CPU a launch is serial but releases the GIL: several threads launch the same kernel on
the same work, and each takes what task comes next until all are done.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from ganverse.rendering.reference import pixel_centres
from ganverse.rendering.scene import Rim
from ganverse.rendering.warp_work import Buffers, Work

# Places in a kernel's arrays are counted in 32 bits.
MOST_PLACES = 2**31 - 1


def launch(kernel: Any, threads: int, buffers: Buffers, rim: Rim) -> None:
    """Run a kernel of one parameter, a `Work`, on torch's stream."""
    device = buffers.corners.device
    if threads == 0:
        return
    command = _command(kernel, buffers, rim, None)
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
    command = _command(kernel, buffers, rim, turn)
    threads = torch.get_num_threads()
    started = [_pool(os.getpid(), threads - 1).submit(command.launch) for _ in range(min(threads, tasks) - 1)]
    command.launch()
    for helper in started:
        if not helper.cancel():
            helper.result()


_recorded = threading.local()


def _command(kernel: Any, buffers: Buffers, rim: Rim, turn: Tensor | None) -> Any:
    """This thread's recorded launch of a kernel, with this work."""
    device = buffers.corners.device
    commands = _recorded.__dict__.setdefault("commands", {})
    command = commands.get((kernel, device))
    if command is None:
        command = wp.launch(kernel, 1, [Work()], device=wp.device_from_torch(device), record_cmd=True)
        commands[kernel, device] = command
    _fill(command.params[1], buffers, rim, turn)
    return command


def _fill(work: Any, buffers: Buffers, rim: Rim, turn: Tensor | None) -> None:
    """Write sizes, settings and addresses into the memory of a `Work`; kernels read no more of an array."""
    work.images, work.faces = buffers.corners.shape[:2]
    work.channels = 0 if buffers.slopes is None else buffers.slopes.shape[-1]
    work.height, work.width = buffers.index.shape[1:]
    work.sigmainv, work.boxlen, work.knum, _ = rim
    arrays = (*centres(work.height, work.width, buffers.corners.device), *buffers, turn)
    for name, array in zip(_ARRAYS, arrays, strict=True):
        getattr(work, name).data = 0 if array is None else array.data_ptr()


_ARRAYS = ("xs", "ys", *Buffers._fields, "turn")


def parts(batch: int, places: int) -> list[slice]:
    """Slices of a batch for one launch each. places: elements of an image's largest array."""
    size = max(1, min(batch, MOST_PLACES // max(places, 1)))
    return [slice(first, min(first + size, batch)) for first in range(0, batch, size)]


@cache  # for good: kernels may still be reading when the call is over
def centres(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """Pixel centres in NDC, both rising: x of every column, y of every row from the bottom up."""
    x_of_column, y_of_row = pixel_centres(height, width, torch.empty(0, device=device))
    return x_of_column, y_of_row.flip(0)


@lru_cache(maxsize=1)
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork: the process id makes a child start its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="ganverse-rendering")
