"""Tensors and arrays from the inert records of a pickle, with every size checked before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.importing.pickles import Made, Named, Stored

MAX_BYTES = 4 * 2**30
"""All tensors of one file together, as float32."""

Storage = tuple[memoryview, np.dtype]
Lookup = Callable[[Any], Storage]

_TORCH = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}


def storage_dtype(kind: Any) -> np.dtype:
    """The numbers in a storage, from the name of its class."""
    name = kind.name.removeprefix("torch.").removesuffix("Storage") if isinstance(kind, Named) else ""
    if name not in _TORCH:
        raise GanverseError("a storage of an unknown kind")
    return np.dtype(_TORCH[name])


class TensorReader:
    """Makes tensors (CPU, contiguous, their own memory) out of records.

    lookup: gives the storage behind a persistent id. nested: that inside the bytes of a `_load_from_bytes`.
    """

    def __init__(self, lookup: Lookup, nested: Callable[[bytes], Storage]) -> None:
        self._lookup, self._nested, self._left = lookup, nested, MAX_BYTES

    def tensor(self, record: Any) -> Shaped[Tensor, "..."]:
        """The tensor, parameter or array that a record describes.

        Raises:
            GanverseError: it describes none, one beyond its storage, or more than `MAX_BYTES` in all.
        """
        array = self._array(record)
        if array.dtype.kind not in "fiub":
            raise GanverseError(f"an array of {array.dtype}")
        self._left -= 4 * array.size
        if self._left < 0:
            raise GanverseError(f"more than {MAX_BYTES / 2**30:g} GiB of tensors")
        return torch.from_numpy(array.copy(order="C"))

    def _array(self, record: Any) -> np.ndarray:
        if not isinstance(record, Made):
            raise GanverseError(f"an object of type {type(record).__name__} in place of a tensor")
        kind = record.name.rpartition(".")[2]
        makers = {
            "_rebuild_parameter": lambda a: self._array(a[0]),
            "_rebuild_tensor": lambda a: self._view(*a[:4]),
            "_rebuild_tensor_v2": lambda a: self._view(*a[:4]),
            "_reconstruct": lambda _: _numpy(record.state),
            "_frombuffer": lambda a: _from_buffer(*a),
            "scalar": lambda a: _filled(a[1], _dtype(a[0]), (), "C"),
        }
        if kind not in makers:
            raise GanverseError(f"a {record.name} in place of a tensor")
        try:
            return makers[kind](record.arguments)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise GanverseError(f"a broken tensor ({error})") from error

    def _view(self, storage: Any, offset: int, size: Sequence[int], stride: Sequence[int]) -> np.ndarray:
        flat = self._storage(storage)
        if len(size) != len(stride) or not _counts([offset, *size, *stride]):
            raise ValueError("sizes and strides that do not belong together")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(map(int, size)) > len(flat) or (0 not in size and last >= len(flat)):
            raise ValueError(f"size {list(size)} over a storage of {len(flat)} numbers")
        strides = [step * flat.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(flat[offset:], tuple(size), strides, writeable=False)

    def _storage(self, record: Any) -> np.ndarray:
        if isinstance(record, Stored):
            data, dtype = self._lookup(record.key)
        elif isinstance(record, Made) and record.name == "torch.storage._load_from_bytes":
            data, dtype = self._nested(record.arguments[0])
        else:
            raise ValueError("no storage")
        return np.frombuffer(data, dtype)


def _numpy(state: Any) -> np.ndarray:
    """The array whose `__setstate__` would be given (version, shape, dtype, fortran, bytes)."""
    _, shape, dtype, fortran, data = state
    return _filled(data, _dtype(dtype), shape, "F" if fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """What numpy writes in protocol 5; order "K" comes with the axes in the order of memory (numpy 2.4)."""
    if order != "K":
        return _filled(data, _dtype(dtype), shape, order)
    if not _counts(axes):
        raise ValueError("an array without an order of its axes")
    return _filled(data, _dtype(dtype), shape, "C").transpose(axes)


def _filled(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)) or order not in ("C", "F"):
        raise ValueError("an array without data")
    if not _counts(shape):
        raise ValueError("an array without a shape")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _counts(numbers: Sequence[Any]) -> bool:
    return len(numbers) <= 17 and all(type(n) is int and n >= 0 for n in numbers)


def _dtype(record: Any) -> np.dtype:
    """A plain number type; the byte order stands in the state of the record."""
    code = str(record.arguments[0]) if isinstance(record, Made) and record.name == "numpy.dtype" else ""
    order = record.state[1] if code and isinstance(record.state, tuple) else "<"
    if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1") or order not in "<|=":
        raise ValueError(f"an array of {code or 'unknown'} numbers")
    return np.dtype(code)
