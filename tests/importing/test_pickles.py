"""The interpreter agrees with Python's own on data, and gives names where Python would call."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any

import pytest

from ganverse.errors import GanverseError
from ganverse.importing.pickles import Made, read_pickle

SHARED = [1, 2]
DATA: list[Any] = [
    None,
    True,
    [0, 255, 65535, -1, 2**31, -(2**40), 2**80, 1.5, float("inf")],
    ["", "text", "é€😀", "x" * 300, b"bytes", b"y" * 300],
    [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [[]], {}],
    {"a": {"b": [1, {2: None}]}, b"c": 3.5, None: (True, False)},
    [SHARED, SHARED],
    list(range(2500)),
    {str(i): i for i in range(2500)},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("data", DATA, ids=range(len(DATA)))
def test_data_are_what_python_reads(data: Any, protocol: int) -> None:
    written = pickle.dumps(data, protocol)
    read = read_pickle(b"before" + written + b"after", 6)
    assert read.value == data
    assert read.end == 6 + len(written)


def test_what_is_shared_stays_shared() -> None:
    first, second = read_pickle(pickle.dumps([SHARED, SHARED])).value
    assert first is second


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_mappings_and_sets(protocol: int) -> None:
    written = pickle.dumps({"o": OrderedDict(a=1, b=2), "s": {1}}, protocol)
    read = read_pickle(written).value
    assert read["o"] == {"a": 1, "b": 2}
    members = read["s"].arguments[0] if isinstance(read["s"], Made) else read["s"]
    assert members == [1]


def test_names_are_never_imported() -> None:
    read = read_pickle(b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81}b.").value
    assert (read.name, read.arguments, read.state) == ("dnnlib.tflib.network.Network", (), {})


def test_other_names_are_refused_where_they_stand() -> None:
    with pytest.raises(GanverseError, match=r"shutil\.rmtree"):
        read_pickle(b"\x80\x02cshutil\nrmtree\n0N.")
