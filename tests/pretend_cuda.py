"""A GPU that is not there: tensors with values that lie on the CPU and say `cuda:0`.

As on a real one, an operation between them and tensors of the CPU raises, and `.numpy()` refuses. What would make the
host wait for the GPU is noted. torch's FakeTensorMode has no values, which samplers, filters and metrics need, and in a
build with CUDA its backward pass needs a device.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
HERE = Path(__file__).parent

# The host needs a value: it waits until the GPU has computed it.
_VALUES = "item tolist __bool__ __int__ __float__ __index__ __complex__ __contains__ __format__ __repr__ equal allclose"
# The host needs to know how many rows come out, or whether a decomposition has worked.
_SIZES = (
    "nonzero argwhere masked_select unique unique_consecutive bincount linalg_solve linalg_inv linalg_lstsq inverse"
)
_WAITS = frozenset(f"{_VALUES} {_SIZES}".split())
_FROM_HOST = frozenset(("tensor", "as_tensor", "new_tensor", "asarray"))
_MAY_MIX = frozenset(("copy_", "set_", "type_as", "__set__", "_has_compatible_shallow_copy_type"))


class PretendCuda(TorchFunctionMode):
    """Inside the `with` statement `cuda:0` can be moved to.

    waits: what makes the host wait, by file and line. beside: the same in a stream of its own.
    """

    # of all instances: what is cached stays where it is; weak references, which keep addresses from being used again
    _storages: ClassVar[dict[int, StorageWeakRef]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()
        self.streams = ["main"]
        self._patches = ExitStack()

    def __enter__(self) -> PretendCuda:
        events = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
        streams = {name: SimpleNamespace(name=name, wait_stream=lambda _: None) for name in ("main", "side")}
        replaced = {
            "torch.Generator": _Generator,
            "torch.cuda.Event": lambda: events,
            "torch.cuda.Stream": lambda _: streams["side"],
            "torch.cuda.current_stream": lambda _: streams["main"],
            "torch.cuda.stream": self._stream,
            "torch.Tensor.record_stream": lambda *_: None,
            "torch.nn.utils.clip_grad._group_tensors_by_device_and_dtype": _by_device,
        }
        for name, stand_in in replaced.items():
            self._patches.enter_context(patch(name, stand_in))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    @contextmanager
    def _stream(self, stream: SimpleNamespace) -> Iterator[None]:
        self.streams.append(stream.name)
        yield
        self.streams.pop()

    def device_of(self, tensor: Tensor) -> torch.device:
        """Where a tensor pretends to be; views, parameters and copies of the handle share a storage and so this."""
        return CUDA if tensor.untyped_storage()._cdata in self._storages else tensor.device

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), func.__name__
        if func == Tensor.device.__get__:
            return self.device_of(args[0])
        if func == Tensor.is_cuda.__get__:
            return self.device_of(args[0]) == CUDA
        if name == "__get__" and func != Tensor.grad.__get__:
            return func(*args)  # what shares the storage is where that is
        if name in ("to", "cuda", "cpu"):
            return self._moved(name, *args, **kwargs)
        if name == "pin_memory":
            return args[0]
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        where = self._common_device(name, args, tensors)
        if name in ("numpy", "__array__", "data_ptr") and where == CUDA:
            raise TypeError(f"can't call {name} of a tensor on {CUDA}: copy it to the host first")
        if kwargs.get("device") is not None:
            where, kwargs["device"] = torch.device(kwargs["device"]), CPU
        if where.type == "cuda" and (name in _WAITS or name in _FROM_HOST or self._index_waits(name, args, kwargs)):
            self._wait(name)
        made = func(*args, **kwargs)
        if name == "__iter__":
            made = iter(self._on(where, list(made)))
        return made if name in _MAY_MIX else self._on(where, made)

    def _moved(self, name: str, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if name != "to":
            args = (CPU if name == "cpu" else CUDA, *args)
        if args and isinstance(args[0], Tensor):
            args = (self.device_of(args[0]), args[0].dtype, *args[1:])
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        here = self.device_of(tensor)
        there = here if device is None else device
        if here.type != there.type and not non_blocking:
            self._wait(name)
        changes = {"memory_format": layout} if layout is not None else {}
        made = tensor.to(dtype=dtype or tensor.dtype, copy=copy or here.type != there.type, **changes)
        return self._on(there, made)

    def _common_device(self, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> torch.device:
        if not tensors:
            return CPU
        if name in ("__getitem__", "__setitem__") or name in _MAY_MIX:
            tensors = [args[0]]  # an index may lie on the host, and a copy is allowed
        found = {self.device_of(x) for x in tensors}
        together = {self.device_of(x) for x in tensors if x.dim() > 0 or self.device_of(x) == CUDA or name == "stack"}
        if len(together) > 1:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, got {CPU} and {CUDA}")
        return next(iter(together or found))

    def _index_waits(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if name == "copy_":
            source = args[1]
            return self.device_of(source) != CUDA and source.dim() > 0 and not kwargs.get("non_blocking", False)
        if name == "repeat_interleave":
            return isinstance(args[-1], Tensor) and kwargs.get("output_size") is None
        if name not in ("__getitem__", "__setitem__"):
            return False
        indices = args[1] if isinstance(args[1], tuple) else (args[1],)
        if name == "__setitem__" and (not isinstance(args[2], Tensor) or args[2].numel() == 1):
            indices = tuple(x for x in indices if not isinstance(x, Tensor) or x.dtype != torch.bool)  # a masked fill
        return any(
            isinstance(x, (list, range)) or (isinstance(x, Tensor) and (x.dtype == torch.bool or self._on_host(x)))
            for x in indices
        )

    def _on_host(self, tensor: Tensor) -> bool:
        return tensor.dim() > 0 and self.device_of(tensor) != CUDA

    def _on(self, where: torch.device, made: Any) -> Any:
        if where.type == "cuda":
            tree_map_only(Tensor, self._claim, made)
        return made

    def _claim(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storages:
            self._storages[storage._cdata] = StorageWeakRef(storage)

    def _wait(self, name: str) -> None:
        found = self.waits if self.streams[-1] == "main" else self.beside
        found[f"{_caller()} {name}"] += 1


class _Generator(torch.Generator):
    """Of the CPU, for any device."""

    def __new__(cls, device: torch.device | str = CPU) -> _Generator:
        made = super().__new__(cls, CPU)
        made.pretended = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self.pretended


def _by_device(lists: list[list[Tensor]]) -> dict[tuple[torch.device, torch.dtype], Any]:
    """Of one device, as all parameters of a test are; torch's own sees where they really lie."""
    return {(lists[0][0].device, lists[0][0].dtype): (lists, None)}


def _caller() -> str:
    """File and line of the first caller outside of torch, tests and the checkers of annotations."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        path = Path(frame.f_code.co_filename)
        if {"ganverse", "pytorch_lightning", "torchmetrics"} & set(path.parts) and HERE not in path.parents:
            return f"{'/'.join(path.parts[-3:])}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
