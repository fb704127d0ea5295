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
"""The largest published files have some ten thousand, training checkpoints with optimizers a few times that."""

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


class Pickle(NamedTuple):
    """What a pickle says, where it ends, and the tensor data that it refers to."""

    value: Any
    end: int
    stored: list[Stored]


def read_pickle(data: bytes, start: int = 0) -> Pickle:
    """The pickle at `start`.

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
            machine = _run(stream)
            return Pickle(machine.result(), stream.tell(), machine.stored)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise GanverseError(f"a broken pickle ({error})") from error


def _run(stream: io.BytesIO) -> _Machine:
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_INSTRUCTIONS:
            raise GanverseError(f"a pickle of more than {MAX_INSTRUCTIONS} instructions")
        if opcode.name == "STOP":
            return machine
        machine.step(opcode.name, argument)
    raise ValueError("no end")


class _Machine:
    """The stack and the memo of a pickle, and a method for each instruction that does not merely push its argument."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.stored: list[Stored] = []

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _PUSH_ARGUMENT:
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
        self.stack.append(_made(function.name, arguments))

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
    # Tuples are left out: hashing deeply nested ones exhausts the C stack.
    if not isinstance(key, (str, bytes, int, float, type(None))):
        raise ValueError(f"a {type(key).__name__} as a key")
    return key


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """A call's record; mappings and encoded bytes, whose meaning is plain, become what they stand for."""
    if name in ("collections.OrderedDict", "dnnlib.util.EasyDict"):
        if arguments:
            raise ValueError(f"{name} with arguments")
        return {}
    if name == "_codecs.encode":
        text, encoding = arguments
        if encoding != "latin1" or not isinstance(text, str):
            raise ValueError("bytes that are not written as latin1")
        return text.encode("latin1")
    return Made(name, arguments)
