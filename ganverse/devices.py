"""Devices: the `--device` option (default: a GPU if available) and non-blocking copies."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from ganverse.errors import GanverseError


def default_device() -> torch.device:
    """The first GPU, or the CPU if torch finds none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find_device(name: str | None) -> torch.device:
    """The device named "cpu", "cuda", "cuda:1", ...; None means `default_device`.

    Raises:
        GanverseError: torch does not know the device, or this machine does not have it.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # also refuses `meta`
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise GanverseError(
            f"expected --device cpu or a GPU of this machine (cuda, cuda:1, ...), got {name}"
        ) from error
    return device


def add_device_option(parser: ArgumentParser) -> None:
    """Adds `--device` to a command; `find_device` takes its value."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: cuda if available, else cpu)")


def device_of(model: object) -> torch.device:
    """Device of a network's parameters; the CPU for objects without parameters, such as the car world."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


def upload(values: Shaped[Tensor, "*shape"], device: torch.device | str) -> Shaped[Tensor, "*shape"]:
    """Copies a tensor to `device`; from CPU to GPU without waiting for the GPU's earlier work, unlike `Tensor.to`."""
    if torch.device(device).type == "cuda" and not values.is_cuda:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def download(values: Shaped[Tensor, "*shape"]) -> Callable[[], Shaped[Tensor, "*shape"]]:
    """Starts a copy to the CPU. The returned function waits for this copy only, and returns it."""
    if not values.is_cuda:
        return lambda: values
    copied, arrived = values.to("cpu", non_blocking=True), torch.cuda.Event()
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return copied

    return wait
