"""PyTorch's file formats (zip archives, and the older sequence of pickles) without PyTorch's loader.

Tensors are built from the inert records of a pickle; every size is checked before memory is allocated.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.importing.pickles import Budget, Made, Named, Stored, read_pickle

MAX_TENSORS = 2000
MAX_NAME = 200
_ZIP_START, _PICKLE_START = b"PK\x03\x04", b"\x80"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
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
_ARRAYS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

Storage = tuple[memoryview, np.dtype]
Lookup = Callable[[Any], Storage]
"""Maps the key of a persistent id to its values."""


class TensorReader:
    """Builds tensors (CPU, contiguous, with their own memory) from the records of one file."""

    def __init__(self, lookup: Lookup, budget: Budget) -> None:
        self._lookup, self._budget = lookup, budget

    def tensors(self, records: Iterable[tuple[str, Any]]) -> dict[str, Tensor]:
        """Tensors by name; GanverseError for too many tensors, an invalid name, and as `tensor`."""
        made: dict[str, Tensor] = {}
        for name, record in records:
            if not isinstance(name, str) or len(name) > MAX_NAME:
                raise GanverseError("a tensor with an invalid name")
            if len(made) >= MAX_TENSORS:
                raise GanverseError(f"more than {MAX_TENSORS} tensors")
            made[name] = self.tensor(record)
        return made

    def tensor(self, record: Any) -> Shaped[Tensor, "..."]:
        """The tensor, parameter or array of a record.

        Raises:
            GanverseError: not a tensor, beyond its storage, or more memory than the file may use.
        """
        array = self._array(record)
        self._budget.spend(max(4, array.itemsize) * array.size)
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
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
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
            data, dtype = _nested_storage(record.arguments[0], self._budget)
        else:
            raise ValueError("no storage")
        return np.frombuffer(data, dtype)


def open_file(data: bytes) -> tuple[Any, TensorReader]:
    """The inert object in a PyTorch file or a bare pickle, and the reader of its tensors.

    Raises:
        GanverseError: another format, damaged, or big-endian or compressed, which PyTorch never writes.
    """
    budget = Budget(len(data))
    value, lookup = _open(data, budget)
    return value, TensorReader(lookup, budget)


def _open(data: bytes, budget: Budget) -> tuple[Any, Lookup]:
    if data.startswith(_ZIP_START):
        return _open_zip(data, budget)
    if not data.startswith(_PICKLE_START):
        raise GanverseError(f"a file that starts with {data[:8]!r}" if data else "an empty file")
    first = read_pickle(data, 0, budget)
    if type(first.value) is int and first.value == _MAGIC:
        return _open_legacy(data, first.end, budget)
    if first.end != len(data):
        raise GanverseError(f"{len(data) - first.end} bytes after the end of the pickle")
    return first.value, _no_storages


def _no_storages(key: Any) -> Any:
    raise ValueError("a reference to data outside the pickle")


def _open_zip(data: bytes, budget: Budget) -> tuple[Any, Lookup]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {entry.filename: entry for entry in archive.infolist()}
        (root,) = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, struct.error) as error:
        raise GanverseError(f"a zip archive that is not a PyTorch file ({error})") from error

    @cache
    def read(name: str) -> bytes:
        entry = entries.get(root + name)
        if entry is None:
            raise GanverseError(f"a PyTorch archive without {name[:40]!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
            raise GanverseError("a compressed archive, which PyTorch does not write")
        budget.spend(entry.file_size)
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError, struct.error) as error:
            raise GanverseError(f"a damaged archive ({error})") from error

    def lookup(key: Any) -> Storage:
        _, kind, name, _, count = key
        return _exactly(memoryview(read(f"data/{name:s}")), 0, count, kind)

    if root + "byteorder" in entries and read("byteorder") != b"little":
        raise GanverseError("big-endian numbers")
    return read_pickle(read("data.pkl"), 0, budget).value, lookup


def _open_legacy(data: bytes, end: int, budget: Budget) -> tuple[Any, Lookup]:
    """A file of PyTorch before 1.6: magic, version, system, object and keys as pickles, then the values.

    The storages in NVIDIA's pickles are such files too. end: of the magic number.
    """
    pickles = []
    for _ in range(4):
        pickles.append(read_pickle(data, end, budget))
        end = pickles[-1].end
    version, system, content, keys = pickles
    if version.value != _PROTOCOL or not isinstance(keys.value, list):
        raise GanverseError("pickles that are not a PyTorch file")
    if not isinstance(system.value, dict) or system.value.get("little_endian") is not True:
        raise GanverseError("big-endian numbers")
    storages: dict[Any, Storage] = {}
    try:
        kinds = {_word(stored.key[2]): stored.key[1] for stored in content.stored}
        for key in map(_word, keys.value):
            (count,) = struct.unpack_from("<q", data, end)
            storages[key] = _exactly(memoryview(data), end + 8, count, kinds[key])
            end += 8 + len(storages[key][0])
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise GanverseError(f"a damaged PyTorch file ({error})") from error
    return content.value, lambda key: storages[_word(key[2])]


def _word(key: Any) -> str:
    """Checks the key of a storage; does not hash others, because hashing deeply nested tuples crashes."""
    if not isinstance(key, str):
        raise ValueError("a storage whose key is not a string")
    return key


def _nested_storage(data: Any, budget: Budget) -> Storage:
    """The storage in a PyTorch file inside a pickle (`torch.storage._load_from_bytes`)."""
    if not isinstance(data, bytes):
        raise GanverseError("a storage that is not bytes")
    budget.spend(len(data))
    value, lookup = _open(data, budget)
    if not isinstance(value, Stored):
        raise GanverseError("another object in place of a storage")
    return lookup(value.key)


def _exactly(data: memoryview, start: int, count: Any, kind: Any) -> Storage:
    """`count` values of a storage class, starting at `start`."""
    name = kind.name.removeprefix("torch.").removesuffix("Storage") if isinstance(kind, Named) else ""
    if name not in _STORAGES:
        raise GanverseError("a storage of an unknown kind")
    dtype = np.dtype(_STORAGES[name])
    end = start + dtype.itemsize * count
    if type(count) is not int or not start <= end <= len(data):
        raise GanverseError(f"a storage of {count} values that is incomplete")
    return data[start:end], dtype


def _numpy(state: Any) -> np.ndarray:
    """The array from `__setstate__`'s arguments (version, shape, dtype, fortran, bytes)."""
    _, shape, dtype, fortran, data = state
    return _filled(data, _dtype(dtype), shape, "F" if fortran else "C")


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """numpy's protocol 5 format; order "K" includes the axes in memory order (numpy 2.4)."""
    if order != "K":
        return _filled(data, _dtype(dtype), shape, order)
    if not _counts(axes):
        raise ValueError("an array without the order of its axes")
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
    """A plain number type; the record's state holds the byte order."""
    code = record.arguments[0] if isinstance(record, Made) and record.name == "numpy.dtype" else ""
    order = record.state[1] if code and isinstance(record.state, tuple) else "<"
    if code not in _ARRAYS or order not in "<|=":
        raise ValueError("an array of an unsupported type")
    return np.dtype(code)
