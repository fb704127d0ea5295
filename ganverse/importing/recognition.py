"""What kind of file this is, by what is in it; its name says nothing."""

from __future__ import annotations

import struct
from typing import Any

from ganverse.errors import GanverseError
from ganverse.importing import nvidia_tensorflow, nvidia_torch, rosinality, stylegan1_port
from ganverse.importing.conversion import Imported
from ganverse.importing.pickles import Made, read_pickle
from ganverse.importing.tensors import Lookup, TensorReader
from ganverse.importing.torch_files import (
    ZIP_START,
    is_torch_legacy,
    nested_storage,
    open_torch_legacy,
    open_torch_zip,
)

FAMILIES = (nvidia_torch, nvidia_tensorflow, rosinality, stylegan1_port)
_PICKLE_START = b"\x80"


def is_safetensors(data: bytes) -> bool:
    """Whether the file starts with the length of a JSON header and that header."""
    return len(data) > 9 and struct.unpack_from("<Q", data)[0] <= len(data) - 8 and data[8:9] == b"{"


def recognize(data: bytes) -> Imported:
    """The generator in a PyTorch file or a bare pickle.

    Raises:
        GanverseError: what was found instead, without naming the file.
    """
    try:
        value, lookup = _opened(data)
        reader = TensorReader(lookup, nested_storage)
        for family in FAMILIES:
            if family.reads(value):
                return family.read(value, reader)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise GanverseError(f"a file that contradicts itself ({type(error).__name__}: {error})") from error
    raise GanverseError(_description(value))


def _opened(data: bytes) -> tuple[Any, Lookup]:
    if data.startswith(ZIP_START):
        return open_torch_zip(data)
    if not data.startswith(_PICKLE_START):
        raise GanverseError(f"a file that starts with {data[:8]!r}" if data else "an empty file")
    first = read_pickle(data)
    if is_torch_legacy(first.value):
        return open_torch_legacy(data)
    if first.end != len(data):
        raise GanverseError(f"{len(data) - first.end} bytes behind the end of the pickle")
    return first.value, _no_storages


def _no_storages(key: Any) -> Any:
    raise ValueError("a reference to data outside of the pickle")


def _description(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(repr(name)[:30] for name in list(value)[:4] if isinstance(name, (str, int)))
        return f"a mapping with the keys {names or 'none'}"
    if isinstance(value, Made):
        return f"a {value.name}"
    return f"an object of type {type(value).__name__}"
