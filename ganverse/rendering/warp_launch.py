"""Running Warp kernels on torch's memory: start, launch, threads.

A launch is recorded once per thread and kernel and then only gets new addresses and numbers, which is several times
cheaper than `wp.launch`. On the CPU a launch is serial but releases the GIL: several threads launch the same kernel on
the same arguments, and each takes what task comes next until all are done.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from ganverse.rendering.reference import pixel_centres

# Places in a kernel's arrays are counted in 32 bits.
MOST_PLACES = 2**31 - 1


def start_quietly() -> None:
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


_recorded = threading.local()


def launch(kernel: Any, threads: int, device: torch.device, *arguments: Tensor | float | None) -> None:
    """Run a kernel on contiguous tensors (read as flat arrays; None = absent) and numbers, on torch's stream."""
    if threads == 0:
        return
    command = _command(kernel, device, arguments)
    command.set_dim(threads)
    command.launch(None if device.type == "cpu" else wp.stream_from_torch(torch.cuda.current_stream(device)))


def share(kernel: Any, tasks: int, device: torch.device, *arguments: Tensor | float | None) -> None:
    """Run a kernel that takes its tasks by `next_task`: on the CPU torch's threads share them, on CUDA each gets one.

    The kernel's last two parameters, the number of tasks and the one in turn, are added here. A thread that is late,
    because its core slept or serves another process, finds fewer tasks left, and if none it is not waited for.
    """
    if device.type != "cpu":
        launch(kernel, tasks, device, *arguments, tasks, None)
        return
    turn = torch.zeros(1, dtype=torch.int32)
    command = _command(kernel, device, (*arguments, tasks, turn))
    threads = torch.get_num_threads()
    started = [_pool(os.getpid(), threads - 1).submit(command.launch) for _ in range(min(threads, tasks) - 1)]
    command.launch()
    for helper in started:
        if not helper.cancel():
            helper.result()


def _command(kernel: Any, device: torch.device, arguments: tuple[Tensor | float | None, ...]) -> Any:
    """This thread's recorded launch of a kernel, with these arguments."""
    commands = _recorded.__dict__.setdefault("commands", {})
    command = commands.get((kernel, device))
    if command is None:
        # Any tensor stands for an absent one while recording; its address is set below.
        stand_in = torch.empty(1, device=device)
        packed = [_flat(stand_in if a is None else a) if a is None or isinstance(a, Tensor) else a for a in arguments]
        command = wp.launch(kernel, 1, packed, device=wp.device_from_torch(device), record_cmd=True)
        commands[kernel, device] = command
    for parameter, argument in zip(command.params[1:], arguments, strict=True):
        if argument is None:
            parameter.data = 0
        elif isinstance(argument, Tensor):
            parameter.data = argument.data_ptr()
            parameter.shape[0] = argument.numel()
            # The stand-in of an absent tensor may have been of another type.
            parameter.strides[0] = argument.element_size()
        else:
            parameter.value = argument
    return command


def _flat(tensor: Tensor) -> Any:
    return wp.from_torch(tensor.detach().view(-1), return_ctype=True)


def parts(batch: int, places: int) -> list[slice]:
    """Slices of a batch for one launch each. places: elements of an image's largest array."""
    size = max(1, min(batch, MOST_PLACES // max(places, 1)))
    return [slice(first, min(first + size, batch)) for first in range(0, batch, size)]


@lru_cache(maxsize=32)
def centres(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """Pixel centres in NDC, both rising: x of every column, y of every row from the bottom up."""
    x_of_column, y_of_row = pixel_centres(height, width, torch.empty(0, device=device))
    return x_of_column, y_of_row.flip(0)


@lru_cache(maxsize=1)
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    # Threads do not survive a fork: the process id makes a child start its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="ganverse-rendering")
