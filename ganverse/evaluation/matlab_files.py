"""Reads MATLAB files after checking their tags, since scipy's reader crashes on unknown ones."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

from ganverse.errors import GanverseError, brief
from ganverse.io import regular

_LARGEST = 2**28  # bytes
_DEEPEST = 16
_MATRIX, _COMPRESSED = 14, 15
_MATRICES, _NAMES, _NUMBERS = frozenset({_MATRIX}), frozenset({1, 2}), frozenset({*range(1, 8), 9, 12, 13})
_CLASSES = {
    1: [_MATRICES],  # cells
    2: [frozenset({5}), _NAMES, _MATRICES],  # structures: length of the names, names, fields
    4: [_NUMBERS | {16, 17, 18}],  # text
    **{kind: [_NUMBERS] for kind in range(6, 16)},
}
"""What follows flags, dimensions and name in a matrix, by its class; objects and sparse matrices are refused."""


def read_matlab(path: Path) -> dict[str, Any]:
    """Reads a MATLAB file (version 5 to 7.2, at most 256 MiB) as dictionaries and arrays.

    Raises:
        GanverseError: it is missing or not such a file.
    """
    from scipy.io import loadmat

    try:
        with regular(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
        if data[:10] != b"MATLAB 5.0" or data[126:128] != b"IM" or len(data) > _LARGEST:
            raise ValueError("another version; save it with -v7 in MATLAB")
        _check(_plain(data), 0)
        found: dict[str, Any] = loadmat(io.BytesIO(data), simplify_cells=True)
        return found
    except Exception as error:  # scipy raises anything for a damaged file
        raise GanverseError(f"expected a MATLAB file at {path}, but it cannot be read ({brief(error)})") from error


def _plain(data: bytes) -> bytes:
    """All variables, decompressed."""
    plain, place = b"", 128
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        end = place + 8 + size
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            plain += inflate.decompress(data[place + 8 : end], _LARGEST)
            if not inflate.eof or len(plain) > _LARGEST:
                raise ValueError("a variable that is truncated, or very large")
        else:
            plain += data[place:end]
        place = end
    return plain


def _check(data: bytes, depth: int) -> None:
    """Checks that every element lies inside its parent, has an allowed type, and that matrices have all their bytes."""
    allowed: list[frozenset[int]] = [] if depth else [_MATRICES]
    place = count = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        start = place + 8
        if kind >> 16:  # at most four bytes, in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        place = start + size if start % 8 == 0 else start + 4
        if depth and count == 0:
            if data[start + 1] & 8:
                raise ValueError("complex numbers")
            allowed = [frozenset({6}), frozenset({5}), _NAMES, *_CLASSES[data[start]]]
        fits = place <= len(data) and (start % 8 == 0 or size <= 4) and depth <= _DEEPEST
        if not fits or kind not in allowed[min(count, len(allowed) - 1)]:
            raise ValueError("damaged elements")
        if kind == _MATRIX and size:
            _check(data[start:place], depth + 1)
        if depth and count == 1:
            dims = struct.unpack(f"<{size // 4}i", data[start : start + size // 4 * 4])
            if not 2 <= len(dims) <= 32 or min(dims) < 0 or math.prod(dims) > len(data):
                raise ValueError("a matrix larger than its bytes")
        place, count = -(-place // 8) * 8, count + 1
    if depth and count < 4 and len(data) > 0 and allowed[-1] != _MATRICES:
        raise ValueError("a matrix without numbers")
