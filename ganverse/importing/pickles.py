"""Pickles as inert data: an interpreter that imports nothing and calls nothing.

`pickle.Unpickler` imports what a file names, and calls it. Here names stay names, and calls become `Made` records
(name, arguments, state) for others to interpret. Names that no image GAN's file needs are refused at once, and so are
the text instructions of protocol 0, which these files do not contain.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganverse.errors import GanverseError

MAX_INSTRUCTIONS = 500_000
"""Per file. Large published files have about ten thousand, training checkpoints with optimizers several times that."""
MAX_BYTES = 4 * 2**30
_INTEGER_BITS = 128

NAMES = frozenset(
    {
        "__builtin__.set",
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.set",
        "collections.OrderedDict",
        "dnnlib.tflib.network.Network",
        "dnnlib.util.EasyDict",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy.dtype",
        "numpy.ndarray",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch.storage._load_from_bytes",
        "torch_utils.persistence._reconstruct_persistent_obj",
        *(
            f"torch.{kind}Storage"
            for kind in ("Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool")
        ),
    }
)
"""All globals that occur in the supported file formats."""


@dataclass(frozen=True)
class Named:
    """A global by name; never imported."""

    name: str


@dataclass(eq=False)
class Made:
    """Record of a call. `state` is what the object would be given afterwards, or None."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Stored:
    """A persistent id: tensor data outside the pickle."""

    key: Any


class Budget:
    """Limits the cost of reading one file, with all its pickles, archives and tensors.

    Otherwise a small file that refers to the same bytes repeatedly could fill the memory or never end. Valid files need
    at most four bytes for each of their own: text, bytes, archive entry, and float32 from float16.

    size: of the file in bytes.
    """

    def __init__(self, size: int) -> None:
        self._instructions = MAX_INSTRUCTIONS
        self._bytes = min(8 * size + 2**20, MAX_BYTES)

    def step(self) -> None:
        """Counts one instruction; GanverseError if there are too many."""
        self._instructions -= 1
        if self._instructions < 0:
            raise GanverseError(f"pickles of more than {MAX_INSTRUCTIONS} instructions")

    def spend(self, count: int) -> None:
        """Counts `count` bytes; GanverseError if there are too many."""
        self._bytes -= count
        if self._bytes < 0:
            raise GanverseError("contents many times larger than the file")


class Pickle(NamedTuple):
    """The value of a pickle, its end, and the tensor data that it refers to."""

    value: Any
    end: int
    stored: list[Stored]


def read_pickle(data: bytes, start: int = 0, budget: Budget | None = None) -> Pickle:
    """The pickle at `start`; budget: what remains for the file, None creates one for `data`.

    The value consists of None, numbers, strings, bytes, lists, tuples, dicts, and the records above. Mappings of other
    classes become dicts.

    Raises:
        GanverseError: a name outside `NAMES`, an unneeded instruction, or a broken pickle.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        # pickletools may warn while decoding text instructions that are refused afterwards
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            machine = _run(stream, budget or Budget(len(data)))
            return Pickle(machine.result(), stream.tell(), machine.stored)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise GanverseError(f"a broken pickle ({error})") from error


def _run(stream: io.BytesIO, budget: Budget) -> _Machine:
    machine = _Machine(budget)
    for opcode, argument, _ in pickletools.genops(stream):
        budget.step()
        if opcode.name == "STOP":
            return machine
        machine.step(opcode.name, argument)
    raise ValueError("no end")


class _Machine:
    """The pickle's stack and memo, with a method for each instruction that does more than push its argument."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.stored: list[Stored] = []

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _PUSH_ARGUMENT:
            if type(argument) is int and argument.bit_length() > _INTEGER_BITS:
                raise GanverseError(f"an integer of {argument.bit_length()} bits")
            self.stack.append(argument)
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME"):
            raise GanverseError(f"the pickle instruction {opcode}, which weights do not need")

    def result(self) -> Any:
        (value,) = self.stack
        return value

    def pop_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items, self.stack[mark:] = self.stack[mark:], []
        return items

    def pops(self, count: int) -> list[Any]:
        """The last `count` values, in order."""
        if count > len(self.stack):
            raise ValueError("an empty stack")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        self.top(dict).update((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"items for something that is not a {kind.__name__}")
        return self.stack[-1]

    def name(self, module: str, name: str) -> None:
        self.stack.append(_allowed(f"{module:s}.{name:s}"))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is not a name")
        self.stack.append(self.made(function.name, arguments))

    def made(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Record of a call; mappings and encoded bytes are converted to their values."""
        if name in ("collections.OrderedDict", "dnnlib.util.EasyDict"):
            if arguments:
                raise ValueError(f"{name} with arguments")
            return {}
        if name == "_codecs.encode":
            text, encoding = arguments
            if encoding != "latin1" or not isinstance(text, str):
                raise ValueError("bytes that are not encoded as latin1")
            self.budget.spend(len(text))
            return text.encode("latin1")
        return Made(name, arguments)

    def build(self, state: Any) -> None:
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):
            raise ValueError("a state for something that was not made by a call")

    def persistent(self, key: Any) -> None:
        self.stored.append(Stored(key))
        self.stack.append(self.stored[-1])


_PUSH_ARGUMENT = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_SET": lambda m, _: m.stack.append([]),  # members of a set may be anything, and are not needed here
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.pops(1).clear(),
    "POP_MARK": lambda m, _: m.pop_mark().clear(),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, index: m.memo.__setitem__(index, m.stack[-1])),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, index: m.stack.append(m.memo[index])),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.pops(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.pops(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.pops(3))),
    "APPEND": lambda m, _: m.extend(m.pops(1)),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: m.extend(m.pop_mark())),
    "SETITEM": lambda m, _: m.update(m.pops(2)),
    "SETITEMS": lambda m, _: m.update(m.pop_mark()),
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.pops(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.call(*m.pops(2))),
    "BUILD": lambda m, _: m.build(*m.pops(1)),
    "BINPERSID": lambda m, _: m.persistent(*m.pops(1)),
}


def _allowed(name: str) -> Named:
    if name not in NAMES:
        raise GanverseError(f"the name {name[:80]!r}, which weights do not need")
    return Named(name)


def _key(key: Any) -> Any:
    # No tuples: hashing deeply nested ones exhausts the C stack. No integers and floats, which can share a hash.
    if not isinstance(key, (str, bytes, int, type(None))) or (isinstance(key, int) and key.bit_length() > 60):
        raise ValueError(f"a {type(key).__name__} as a key")
    return key
