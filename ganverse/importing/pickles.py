"""Pickles as inert data: an interpreter of their instructions that imports nothing and calls nothing.

`pickle.Unpickler` imports what a file names and calls it. Here a name stays a name: what the file would have had called
comes back as a `Made` record (name, arguments, state), for others to recognize. Names that no image GAN's file needs
are refused as soon as they occur, and so are the text instructions of protocol 0, which none of these files has.
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
"""Per file. Large published files have some ten thousand, training checkpoints with optimizers several times that."""
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
"""Every global that was seen in the files of the families this package reads."""


@dataclass(frozen=True)
class Named:
    """A global by its name; never imported."""

    name: str


@dataclass(eq=False)
class Made:
    """What a call would have made. `state` is what the object would have been given afterwards, None if nothing."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Stored:
    """A persistent id: tensor data that lie outside of the pickle."""

    key: Any


class Budget:
    """What reading one file may cost, all pickles, archives and tensors inside of it together.

    A small file that refers to the same bytes again and again would otherwise fill the memory, or never end. Honest
    files need at most four bytes for each of their own: text, bytes, archive entry, and float32 from float16.

    size: of the file in bytes.
    """

    def __init__(self, size: int) -> None:
        self._instructions = MAX_INSTRUCTIONS
        self._bytes = min(8 * size + 2**20, MAX_BYTES)

    def step(self) -> None:
        """One instruction; GanverseError if there were too many."""
        self._instructions -= 1
        if self._instructions < 0:
            raise GanverseError(f"pickles of more than {MAX_INSTRUCTIONS} instructions")

    def spend(self, count: int) -> None:
        """`count` bytes; GanverseError if there were too many."""
        self._bytes -= count
        if self._bytes < 0:
            raise GanverseError("contents that are many times as large as the file")


class Pickle(NamedTuple):
    """What a pickle says, where it ends, and the tensor data that it refers to."""

    value: Any
    end: int
    stored: list[Stored]


def read_pickle(data: bytes, start: int = 0, budget: Budget | None = None) -> Pickle:
    """The pickle at `start`; budget: what is left to spend on its file, None for that of `data`.

    Its value is made of None, numbers, strings, bytes, lists, tuples, dicts, and the records above. Mappings of other
    classes are dicts.

    Raises:
        GanverseError: a name that is not in `NAMES`, an instruction that data need not have, a broken pickle.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        # pickletools decodes the text of instructions that are refused a moment later, and may warn about it
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
    """The stack and the memo of a pickle, and a method for each instruction that does not merely push its argument."""

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
        elif opcode in _PUSH_NEW:
            self.stack.append(_PUSH_NEW[opcode]())
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME"):
            raise GanverseError(f"the pickle instruction {opcode}, which no weights need")

    def result(self) -> Any:
        (value,) = self.stack
        return value

    def pop_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items, self.stack[mark:] = self.stack[mark:], []
        return items

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def pop(self, _: None) -> None:
        self.stack.pop()

    def drop_marked(self, _: None) -> None:
        self.pop_mark()

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def tuple_of_marked(self, _: None) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def append(self, _: None) -> None:
        item = self.stack.pop()
        self.top(list).append(item)

    def appends(self, _: None) -> None:
        items = self.pop_mark()
        self.top(list).extend(items)

    def set_item(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.top(dict)[_key(key)] = value

    def set_items(self, _: None) -> None:
        items = self.pop_mark()
        self.top(dict).update((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"items for something that is no {kind.__name__}")
        return self.stack[-1]

    def named(self, argument: str) -> None:
        self.stack.append(_allowed(argument.replace(" ", ".", 1)))

    def stack_named(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_allowed(f"{module:s}.{name:s}"))

    def call(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no name")
        self.stack.append(self.made(function.name, arguments))

    def made(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A call's record; mappings and encoded bytes, whose meaning is plain, become what they stand for."""
        if name in ("collections.OrderedDict", "dnnlib.util.EasyDict"):
            if arguments:
                raise ValueError(f"{name} with arguments")
            return {}
        if name == "_codecs.encode":
            text, encoding = arguments
            if encoding != "latin1" or not isinstance(text, str):
                raise ValueError("bytes that are not written as latin1")
            self.budget.spend(len(text))
            return text.encode("latin1")
        return Made(name, arguments)

    def build(self, _: None) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):
            raise ValueError("a state for something that was not made by a call")

    def persistent(self, _: None) -> None:
        self.stored.append(Stored(self.stack.pop()))
        self.stack.append(self.stored[-1])


_PUSH_ARGUMENT = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_PUSH_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,  # the members of a set may be anything; nothing here asks for them
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.drop_marked,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": _Machine.memoize,
    "TUPLE": _Machine.tuple_of_marked,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), _Machine.appends),
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


def _allowed(name: str) -> Named:
    if name not in NAMES:
        raise GanverseError(f"the name {name[:80]!r}, which weights have no use for")
    return Named(name)


def _key(key: Any) -> Any:
    # Left out: tuples, hashing deeply nested ones exhausts the C stack; integers and floats that can share one hash.
    if not isinstance(key, (str, bytes, int, type(None))) or (isinstance(key, int) and key.bit_length() > 60):
        raise ValueError(f"a {type(key).__name__} as a key")
    return key
