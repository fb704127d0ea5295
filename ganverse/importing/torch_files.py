"""PyTorch's two containers, the zip archive of today and the row of pickles of old, opened without PyTorch's loader."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

from ganverse.errors import GanverseError
from ganverse.importing.pickles import Stored, read_pickle
from ganverse.importing.tensors import Lookup, Storage, storage_dtype

ZIP_START = b"PK\x03\x04"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

Opened = tuple[Any, Lookup]
"""The inert object, and what finds the storages which it refers to."""


def open_torch_zip(data: bytes) -> Opened:
    """The object inside a zip archive.

    Raises:
        GanverseError: it is no such archive, its entries are compressed (PyTorch's never are), or big-endian.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {entry.filename: entry for entry in archive.infolist()}
        (root,) = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, struct.error) as error:
        raise GanverseError(f"a zip archive that is no PyTorch file ({error})") from error

    def read(name: str) -> bytes:
        entry = entries.get(root + name)
        if entry is None:
            raise GanverseError(f"a PyTorch archive without {name[:40]!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
            raise GanverseError("a compressed archive, which PyTorch does not write")
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError, struct.error) as error:
            raise GanverseError(f"a damaged archive ({error})") from error

    def lookup(key: Any) -> Storage:
        _, kind, name, _, count = key
        return _exactly(memoryview(read(f"data/{name:s}")), 0, count, kind)

    if root + "byteorder" in entries and read("byteorder") != b"little":
        raise GanverseError("big-endian numbers")
    return read_pickle(read("data.pkl")).value, lookup


def is_torch_legacy(value: Any) -> bool:
    """Whether the first pickle of a file announces a PyTorch file of old."""
    return type(value) is int and value == _MAGIC


def open_torch_legacy(data: bytes) -> Opened:
    """The object in a file of PyTorch before 1.6: magic, version, system, object, keys as pickles, then the numbers.

    The storages inside NVIDIA's pickles are such files too.

    Raises:
        GanverseError: these are other pickles, or the numbers are big-endian.
    """
    pickles, end = [], 0
    for _ in range(5):
        pickles.append(read_pickle(data, end))
        end = pickles[-1].end
    magic, version, system, content, keys = pickles
    if not is_torch_legacy(magic.value) or version.value != _PROTOCOL or not isinstance(keys.value, list):
        raise GanverseError("pickles that are no PyTorch file")
    if not isinstance(system.value, dict) or system.value.get("little_endian") is not True:
        raise GanverseError("big-endian numbers")
    try:
        kinds = {stored.key[2]: stored.key[1] for stored in content.stored}
        storages = _storages(memoryview(data), end, [(key, kinds[key]) for key in keys.value])
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise GanverseError(f"a damaged PyTorch file ({error})") from error
    return content.value, lambda key: storages[key[2]]


def nested_storage(data: Any) -> Storage:
    """The storage that is the one object of a PyTorch file inside a pickle (`torch.storage._load_from_bytes`)."""
    if not isinstance(data, bytes):
        raise GanverseError("a storage that is no bytes")
    value, lookup = open_torch_zip(data) if data.startswith(ZIP_START) else open_torch_legacy(data)
    if not isinstance(value, Stored):
        raise GanverseError("something else than a storage where a storage belongs")
    return lookup(value.key)


def _storages(data: memoryview, start: int, kinds: list[tuple[Any, Any]]) -> dict[Any, Storage]:
    """Storages that lie one behind the other, each after the count of its numbers."""
    found = {}
    for key, kind in kinds:
        (count,) = struct.unpack_from("<q", data, start)
        found[key] = _exactly(data, start + 8, count, kind)
        start += 8 + len(found[key][0])
    return found


def _exactly(data: memoryview, start: int, count: Any, kind: Any) -> Storage:
    dtype = storage_dtype(kind)
    end = start + dtype.itemsize * count
    if type(count) is not int or not start <= end <= len(data):
        raise GanverseError(f"a storage of {count} numbers that is not there")
    return data[start:end], dtype
