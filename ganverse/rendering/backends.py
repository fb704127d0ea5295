"""The renderer's backends (PyTorch reference, Warp kernels, Kaolin) and the choice among them."""

import importlib.util
import warnings
from functools import lru_cache
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.rendering import reference
from ganverse.rendering.scene import Rasterization, SoftMaskSettings, Triangles

Backend = Literal["auto", "reference", "warp", "kaolin"]
BackendName = Literal["reference", "warp", "kaolin"]

_NEEDS = {
    "warp": "`pip install warp-lang`, a writable folder for its kernels (WARP_CACHE_PATH), on CUDA a driver of CUDA 13",
    "kaolin": "a CUDA device and NVIDIA's wheel for your torch, see https://github.com/NVIDIAGameWorks/kaolin",
}


def available_backends() -> tuple[BackendName, ...]:
    """Installed backends, fastest first; `kaolin` also needs CUDA tensors."""
    installed: list[BackendName] = [name for name in ("warp", "kaolin") if _installed(name)]
    return (*installed, "reference")


def choose_backend(requested: Backend, device: torch.device) -> tuple[BackendName, str]:
    """Name of the backend for tensors on `device`, and the reason.

    "auto" uses warp on CPU and CUDA, kaolin on CUDA without warp, and otherwise the reference. The reference always
    computes float64 tensors.

    Raises:
        GanverseError: the requested backend is unknown, not installed or does not support this device.
    """
    if requested not in get_args(Backend):
        raise GanverseError(f"expected a rendering backend out of {', '.join(get_args(Backend))}, got {requested!r}")
    if requested != "auto":
        reason = _why_not(requested, device.type)
        if reason:
            raise GanverseError(
                f"rendering backend '{requested}' cannot be used on {device.type}: {reason}; it needs"
                f" {_NEEDS[requested]}; or choose 'auto'"
            )
        return requested, "requested"
    refused = []
    for name in ("warp", "kaolin"):
        reason = _why_not(name, device.type)
        if not reason:
            return name, f"fastest installed on {device.type}"
        refused.append(f"{name}: {reason}")
    return "reference", "; ".join(refused)


def _why_not(name: BackendName, device_type: str) -> str:
    """Why a backend does not support this kind of device; empty if it does."""
    if name == "reference":
        return ""
    if not _installed(name):
        return "not installed"
    if name == "kaolin":
        return "" if device_type == "cuda" else "CUDA only"
    return _why_not_warp(device_type)


@lru_cache  # so that it warns once
def _why_not_warp(device_type: str) -> str:
    try:
        from ganverse.rendering import warp_backend
    except OSError as error:
        reason = f"it cannot start ({error})"
        warnings.warn(
            f"rendering uses the slow reference backend instead of Warp: {reason}; set WARP_CACHE_PATH to a folder for"
            " compiled kernels that can be written",
            stacklevel=3,
        )
        return reason
    return warp_backend.why_not(device_type)


@lru_cache
def _installed(name: BackendName) -> bool:
    if name == "kaolin" and importlib.util.find_spec("kaolin") is not None:
        # PyPI's `kaolin` 0.1 is an empty placeholder.
        return importlib.util.find_spec("kaolin.render") is not None
    return name == "reference" or importlib.util.find_spec(name) is not None


@runtime_checkable
class Implementation(Protocol):
    """Interface of a backend's module. All backends refuse non-finite positions."""

    def rasterize(
        self, scene: Triangles, height: int, width: int, soft_mask: SoftMaskSettings | None = None
    ) -> Rasterization:
        """Nearest face of every pixel, and the soft silhouette if `soft_mask` is given."""

    def soft_silhouette(
        self, corners: Float[Tensor, "b f 3 2"], face_index: Int64[Tensor, "b h w"], soft_mask: SoftMaskSettings
    ) -> Float[Tensor, "b h w"]:
        """Soft silhouette of rasterized faces."""


def implementation(backend: Backend, corners: Float[Tensor, "b f 3 2"]) -> Implementation:
    """Module that computes tensors such as `corners`.

    Raises:
        GanverseError: as `choose_backend`.
    """
    name, _ = choose_backend(backend, corners.device)
    if name == "reference" or corners.dtype == torch.float64:
        return reference
    if name == "warp":
        from ganverse.rendering import warp_backend

        return warp_backend
    from ganverse.rendering import kaolin_backend

    return kaolin_backend
