"""Files that want to execute something, to fill the memory, or that are broken; made byte by byte."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.importing_toys import (
    EasyDict,
    Network,
    Persistent,
    ada_content,
    ada_names,
    conditional,
    foreign_modules,
    persistent,
    pickled,
    port_names,
    rosinality_content,
    rosinality_names,
    stylegan1,
    stylegan2,
    stylegan3,
    stylegan3_names,
    tensorflow1,
    tensorflow2,
    torch_saved,
)

__all__ = ["foreign_modules"]

MARKER = "/tmp/ganverse-hostile-file-was-executed"
COMMAND = f"touch {MARKER}"

Hostile = Callable[[], bytes]


def text(word: str) -> bytes:
    """Pushes a string."""
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def proto(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def command() -> Call:
    return Call(os.system, COMMAND)


SYSTEM = b"cos\nsystem\n"
ARGUMENT = b"(" + text(COMMAND) + b"t"

# Every instruction through which a pickle can have something called.
ROUTES: dict[str, Hostile] = {
    "GLOBAL and REDUCE": lambda: proto(SYSTEM + ARGUMENT + b"R", 2),
    "posix for os": lambda: proto(b"cposix\nsystem\n" + ARGUMENT + b"R", 2),
    "STACK_GLOBAL": lambda: proto(text("os") + text("system") + b"\x93" + ARGUMENT + b"R"),
    "a name with a path": lambda: proto(text("torch") + text("serialization.os.system") + b"\x93" + ARGUMENT + b"R"),
    "STACK_GLOBAL of no words": lambda: proto(b"K\x01K\x02\x93" + ARGUMENT + b"R"),
    "INST": lambda: proto(b"(" + text(COMMAND) + b"ios\nsystem\n", 2),
    "OBJ": lambda: proto(b"(" + SYSTEM + text(COMMAND) + b"o", 2),
    "NEWOBJ": lambda: proto(b"csubprocess\nPopen\n((" + text("touch") + text(MARKER) + b"ltt\x81", 2),
    "NEWOBJ_EX": lambda: proto(SYSTEM + ARGUMENT + b"}\x92"),
    "BUILD with a __setstate__": lambda: proto(
        b"cargparse\nNamespace\n)\x81}" + text("__setstate__") + SYSTEM + b"sb" + text(COMMAND) + b"b", 2
    ),
    "BUILD of slots": lambda: proto(b"cargparse\nNamespace\n)\x81N}" + text("x") + SYSTEM + b"s\x86b", 2),
    "EXT1": lambda: proto(b"\x82\x01" + ARGUMENT + b"R", 2),
    "EXT2": lambda: proto(b"\x83\x01\x00" + ARGUMENT + b"R", 2),
    "EXT4": lambda: proto(b"\x84\x01\x00\x00\x00" + ARGUMENT + b"R", 2),
    "PERSID": lambda: proto(b"Pos.system\n", 2),
    "BINPERSID": lambda: proto(SYSTEM + b"Q", 2),
    "NEXT_BUFFER": lambda: proto(b"\x97", 5),
    "through the memo": lambda: proto(SYSTEM + b"q\x00" + b"0h\x00" + ARGUMENT + b"R", 2),
    "eval": lambda: proto(b"cbuiltins\neval\n(" + text(f"open({MARKER!r}, 'w')") + b"tR", 2),
    "getattr": lambda: proto(b"cbuiltins\ngetattr\n(cos\n__dict__\n" + text("system") + b"tR", 2),
    "importlib": lambda: proto(b"cimportlib\nimport_module\n(" + text("antigravity") + b"tR", 2),
    "torch.load": lambda: proto(b"ctorch\nload\n(" + text("/etc/passwd") + b"tR", 2),
    "a file to read": lambda: proto(b"cbuiltins\nopen\n(" + text("/etc/passwd") + b"tR", 2),
    "a call of a call": lambda: proto(b"cargparse\nNamespace\n)R" + ARGUMENT + b"R", 2),
    "a call of a string": lambda: proto(text("os.system") + ARGUMENT + b"R", 2),
    "protocol 0": lambda: pickle.dumps(command(), 0),
    "other encodings": lambda: proto(b"c_codecs\nencode\n(" + text("x") + text("zip") + b"tR", 2),
}

# The same inside of otherwise proper files.
HIDDEN: dict[str, Hostile] = {
    "in G": lambda: pickled({**ada_content(ada_names(stylegan2())), "G": command()}),
    "in the arguments of a network": lambda: pickled(ada_content(ada_names(stylegan2()), conv_clamp=command())),
    "in a weight": lambda: pickled({"G_ema": Persistent({"_parameters": {"weight": command()}})}),
    "in a storage": lambda: pickled(
        {"G_ema": Persistent({"_parameters": {"w": Call(torch.storage._load_from_bytes, torch_saved(command()))}})}
    ),
    "in a storage within a storage": lambda: pickled(
        {"G_ema": persistent_tensor(stored(torch_saved(Call(torch.storage._load_from_bytes, torch_saved(command())))))}
    ),
    "in a tensor's storage": lambda: pickled(
        {"G_ema": persistent_tensor(stored(torch_saved(command(), zipped=False)))}
    ),
    "in a tensor's storage in a zip": lambda: pickled({"G_ema": persistent_tensor(stored(torch_saved(command())))}),
    "in module_src": lambda: pickled(
        {"G_ema": Persistent({}, source=f"import os; os.system({COMMAND!r})"), "other": 1}
    ),
    "in the source of a TensorFlow network": lambda: pickled(
        (None, None, Network(version=4, build_module_src=f"import os; os.system({COMMAND!r})", variables=[]))
    ),
    "in a TensorFlow variable": lambda: pickled((None, None, Network(version=4, variables=[("x", command())]))),
    "in the options of a checkpoint": lambda: torch_saved(
        {**rosinality_content(stylegan2(), training=True), "x": command()}
    ),
    "in a checkpoint of old": lambda: torch_saved({"g_ema": {}, "args": command()}, zipped=False),
    "behind the end of a pickle": lambda: pickled(tensorflow2(stylegan2())) + pickled(command()),
    "in the keys of a file of old": lambda: legacy_with(pickled(command(), 2)),
}


def stored(data: bytes) -> Call:
    """A tensor whose storage is a PyTorch file."""
    storage = Call(torch.storage._load_from_bytes, data)
    return Call(torch._utils._rebuild_tensor_v2, storage, 0, (2,), (1,), False, OrderedDict())


def persistent_tensor(tensor: Any) -> Persistent:
    return Persistent({"_parameters": {"mapping.fc0.weight": tensor}, "_init_kwargs": {}})


def legacy_with(keys: bytes) -> bytes:
    """A file of old whose list of keys is another pickle."""
    return b"".join(
        [
            *(pickled(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"g_ema": {}})),
            keys,
        ]
    )


def changed(name: str, tensor: Any) -> bytes:
    return pickled(ada_content({**ada_names(stylegan2()), name: tensor}))


def rezipped(change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A proper zip checkpoint with other entries."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_saved(rosinality_content(stylegan2(), training=False)))) as source,
        zipfile.ZipFile(buffer, "w", compression) as target,
    ):
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return buffer.getvalue()


def huge_tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    storage = Call(torch.storage._load_from_bytes, torch_saved(typed_storage(4), zipped=False))
    made = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
    return pickled({"G_ema": persistent_tensor(made)})


def typed_storage(count: int) -> Any:
    memory = torch.zeros(count).untyped_storage()
    return torch.storage.TypedStorage(wrap_storage=memory, dtype=torch.float32, _internal=True)


def laughter() -> bytes:
    """Lists of ten times the list before, the last one at memo 40: small here, 10^40 elements for who walks it."""
    body = b"]q\x000"
    for index in range(40):
        body += b"](" + (b"h" + bytes([index])) * 10 + b"eq" + bytes([index + 1]) + b"0"
    return body


def laughing() -> bytes:
    return proto(laughter() + b"}" + text("g_ema") + b"h\x28s", 2)


def module_bomb() -> bytes:
    """Modules that hold the module before twice."""
    module = persistent({})
    for _ in range(60):
        module = Persistent({"_modules": {"a": module, "b": module}})
    return pickled({"G_ema": module})


def own_loop() -> bytes:
    state: dict[str, Any] = {"version": 4, "variables": [], "components": {}}
    state["components"]["self"] = network = Network(**state)
    network.state = state
    return pickled((None, None, network))


def safetensors_with(header: Any, size: int | None = None) -> bytes:
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written) if size is None else size) + written + bytes(16)


NAN = torch.full((5,), float("nan"))

BROKEN: dict[str, Hostile] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x80",
    "text": lambda: b"import os\n",
    "zeros": lambda: bytes(4096),
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a number": lambda: pickled(1),
    "a state dict of something else": lambda: torch_saved(torch.nn.Linear(2, 2).state_dict()),
    "half a pickle": lambda: (data := pickled(ada_content(ada_names(stylegan2()))))[: len(data) // 2],
    "half a zip": lambda: (data := torch_saved(rosinality_content(stylegan2(), training=False)))[: len(data) // 2],
    "half a file of old": lambda: torch_saved(rosinality_content(stylegan2(), training=False), zipped=False)[:-100],
    "a stack that is empty": lambda: proto(b"0000"),
    "a mark that is missing": lambda: proto(b"tR"),
    "a memo that is empty": lambda: proto(b"h\x07"),
    "a memo index of two billion": lambda: proto(b"Nr\xff\xff\xff\x7f0N"),
    "bytes that are promised": lambda: proto(b"\x8e" + struct.pack("<Q", 2**40) + b"x"),
    "a frame that is promised": lambda: proto(b"\x95" + struct.pack("<Q", 2**60) + b"N"),
    "a key of no hash": lambda: proto(b"}](" + b"eK\x01s"),
    "deep tuples": lambda: proto(b")" + b"\x85" * 50_000),
    "deep tuples as a key": lambda: proto(b"})" + b"\x85" * 50_000 + b"K\x01s"),
    "deep lists": lambda: proto(b"]" * 30_000 + b"a" * 29_999),
    "a list in itself": lambda: proto(b"]q\x00h\x00a", 2),
    "a billion laughs": laughing,
    "modules without end": module_bomb,
    "a network in itself": own_loop,
    "a compressed zip": lambda: rezipped(lambda _, data: data, zipfile.ZIP_DEFLATED),
    "a zip bomb": lambda: rezipped(
        lambda name, data: bytes(50_000_000) if name.endswith("/data/0") else data, zipfile.ZIP_DEFLATED
    ),
    "a zip with two files inside": lambda: rezipped(lambda name, data: data) + rezipped(lambda name, data: data[:-1]),
    "a big-endian zip": lambda: rezipped(lambda name, data: b"big" if name.endswith("byteorder") else data),
    "a zip with other numbers": lambda: rezipped(lambda name, data: data[:-4] if "/data/" in name else data),
    "a zip of pictures": lambda: zipped({"a.png": b"x"}),
    "a zip with an encrypted entry": lambda: flagged(zipped({"archive/data.pkl": pickled({"g_ema": {}})})),
    "a tensor of a trillion numbers": lambda: huge_tensor((10**6, 10**6), (0, 0)),
    "a tensor beyond its storage": lambda: huge_tensor((2, 2), (3, 1)),
    "a tensor before its storage": lambda: huge_tensor((2,), (1,), -2),
    "a tensor with backward strides": lambda: huge_tensor((2,), (-1,), 3),
    "a tensor of no size": lambda: huge_tensor((2**70, 0), (1, 1)),
    "an array larger than its bytes": lambda: numpy_array(lambda data: data[:-4]),
    "an array of objects": lambda: pickled(
        (None, None, Network(version=4, variables=[("mapping/Dense0/weight", np.array([1, "x"], dtype=object))]))
    ),
    "an array of words": lambda: pickled((None, None, Network(version=4, variables=[("a", np.array(["x"]))]))),
    "a wrong shape": lambda: changed("synthesis.b8.conv0.weight", torch.zeros(3, 5, 3, 3)),
    "a wrong rank": lambda: changed("mapping.fc0.weight", torch.zeros(4)),
    "no numbers": lambda: changed("mapping.fc0.weight", torch.zeros(0, 4)),
    "not a number": lambda: changed("mapping.w_avg", NAN),
    "infinite": lambda: changed("synthesis.b4.const", torch.full((4, 4, 4), float("inf"))),
    "overflowing": lambda: changed("synthesis.b16.conv1.bias", torch.full((2,), 3e38)),
    "one tensor too many": lambda: changed("synthesis.b8.extra.weight", torch.zeros(2)),
    "one tensor too few": lambda: pickled(
        ada_content({k: v for k, v in ada_names(stylegan2()).items() if k != "synthesis.b8.conv1.bias"})
    ),
    "another filter": lambda: changed("synthesis.b8.resample_filter", torch.ones(4, 4) / 16),
    "another activation": lambda: pickled(ada_content(ada_names(stylegan2()), activation="relu")),
    "an unknown setting": lambda: pickled(ada_content(ada_names(stylegan2()), magic=3)),
    "an architecture of old": lambda: pickled(ada_content(ada_names(stylegan2()), architecture="orig")),
    "conditional": lambda: pickled(ada_content(conditional(ada_names(stylegan2()), 10), c_dim=10)),
    "conditional without an embedding": lambda: pickled(ada_content(ada_names(stylegan2()), c_dim=10)),
    "an unknown setting, flat": lambda: pickled(ada_content(ada_names(stylegan2()), flat=True, magic=3)),
    "another activation, flat": lambda: pickled(ada_content(ada_names(stylegan2()), flat=True, activation="relu")),
    "a residual network without branches": lambda: pickled(
        ada_content(ada_names(stylegan2()), flat=True, architecture="resnet")
    ),
    "a clamp that is a word": lambda: pickled(ada_content(ada_names(stylegan2()), conv_clamp="256")),
    "unnamed settings": lambda: unnamed_settings(),
    "an unknown setting, TensorFlow": lambda: pickled(tensorflow2(stylegan2(), magic=3)),
    "half precision of StyleGAN1": lambda: pickled(tensorflow1(stylegan1(), num_fp16_res=2)),
    "not square": lambda: pickled(ada_content({**ada_names(stylegan2()), "synthesis.b4.const": torch.zeros(4, 4, 8)})),
    "some noise planes": lambda: torch_saved(
        {"g_ema": {k: v for k, v in rosinality_names(stylegan2()).items() if k != "noises.noise_2"}}
    ),
    "another kernel": lambda: torch_saved(
        {"g_ema": {**rosinality_names(stylegan2()), "convs.0.conv.blur.kernel": torch.ones(4, 4)}}
    ),
    "an average that differs by layer": lambda: torch_saved(
        {"g_ema": rosinality_names(stylegan2()), "latent_avg": torch.randn(6, 5)}
    ),
    "two names for one tensor": lambda: torch_saved(
        {"g_ema": {**rosinality_names(stylegan2()), "style.01.weight": torch.zeros(5, 6)}}
    ),
    "StyleGAN3 of other sampling rates": lambda: pickled(
        ada_content({k.replace("_52_", "_68_"): v for k, v in stylegan3_names(stylegan3()).items()}, flat=True)
    ),
    "StyleGAN3 with another margin": lambda: pickled(
        ada_content(stylegan3_names(stylegan3()), flat=True, margin_size=4)
    ),
    "StyleGAN3 without its filters": lambda: pickled(
        ada_content({k: v for k, v in stylegan3_names(stylegan3()).items() if "filter" not in k}, flat=True)
    ),
    "conditional, TensorFlow": lambda: pickled(tensorflow1(stylegan1(), label_size=10)),
    "a StyleGAN3 of one tensor": lambda: pickled(
        {"G_ema": persistent({"synthesis.input.freqs": torch.ones(2, 2)}, _init_kwargs={})}
    ),
    "no G_ema": lambda: pickled({"G": persistent({}), "G_ema": None}),
    "a network of a later version": lambda: pickled({"G_ema": Persistent({}, version=7)}),
    "a TensorFlow network of a later version": lambda: pickled((None, None, Network(version=9, variables=[]))),
    "no Gs": lambda: pickled((None, Network(version=4, variables=[]))),
    "still growing": lambda: still_growing(),
    "other enlarging": lambda: pickled(tensorflow1(stylegan1(), fused_scale=False)),
    "g_ema without weights": lambda: torch_saved({"g_ema": {}}),
    "g_ema with a word": lambda: torch_saved({"g_ema": {**rosinality_names(stylegan2()), "input.input": "word"}}),
    "a port with names of numbers": lambda: torch_saved({**port_names(stylegan1()), 3: torch.zeros(1)}),
    "an EasyDict": lambda: pickled(EasyDict(a=1)),
    "safetensors without a card": lambda: safetensors_with({}),
    "safetensors of a giant header": lambda: safetensors_with({}, 2**62),
    "safetensors beyond the end": lambda: safetensors_with(
        {"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}
    ),
}


def encoded_again_and_again() -> bytes:
    """1.9 MB; each of the 80 000 calls makes bytes of half of it."""
    head = b"c_codecs\nencode\nq\x000" + text("x" * 900_000) + b"q\x010" + text("latin1") + b"q\x020]"
    return proto(head + b"(" + b"h\x00h\x01h\x02\x86R" * 80_000 + b"e", 2)


def one_storage(count: int, numbers: int, size: tuple[int, ...]) -> bytes:
    """A checkpoint with `count` tensors over one storage."""
    storage = torch.zeros(numbers)
    return torch_saved({"g_ema": {f"style.{k}.weight": storage.view(-1)[: size[0]] for k in range(count)}})


def nested_again_and_again(data: bytes, count: int) -> bytes:
    """`count` tensors whose storages are one PyTorch file: each has its own call, the bytes are there once."""
    tensors = {
        str(k): Call(
            torch._utils._rebuild_tensor_v2, Call(torch.storage._load_from_bytes, data), 0, (1,), (1,), False, None
        )
        for k in range(count)
    }
    return pickled({"G_ema": Persistent({"_parameters": tensors})})


def legacy_storage(content: bytes, keys: bytes) -> bytes:
    """A file of old that holds one storage of one number; `content` are the instructions that refer to it."""
    parts = (pickled(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return b"".join([*parts, proto(content, 2), keys, struct.pack("<qf", 1, 0.5)])


def stored_at(key: bytes) -> bytes:
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + key + text("cpu") + b"K\x01tQ"


def one_hash() -> bytes:
    """A mapping whose 100 000 keys share their hash: each insertion walks over all before it."""
    keys = b"".join(
        b"\x8a\x0a" + ((k + 1) * (2**61 - 1)).to_bytes(10, "little", signed=True) + b"N" for k in range(100_000)
    )
    return proto(b"}(" + keys + b"u", 2)


def long_names() -> bytes:
    """Modules in modules, each with a name of 1 MB: whole names grow with the depth, all of them with its square."""
    state: dict[str, Any] = {}
    name = "n" * 1_000_000
    for _ in range(80):
        state = {"_modules": {name: Persistent(state)}}
    return pickled({"G_ema": Persistent(state)})


def long_variables() -> bytes:
    name = "n" * 1_000_000
    components: dict[str, Any] = {}
    for _ in range(80):
        components = {name: Network(version=4, variables=[(name, np.ones(1))], components=components)}
    return pickled((None, None, Network(version=4, variables=[], components=components)))


def deep_storage_key() -> bytes:
    """A storage with a deeply nested tuple for a key; hashing it exhausts the C stack."""
    return legacy_storage(stored_at(b")" + b"\x85" * 400_000), pickled(["0"], 2))


def array_of_laughs() -> bytes:
    """A number whose type is named by a billion laughs."""
    number = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(h\x28tRC\x04abcdtR"
    return proto(laughter() + b"}" + text("g_ema") + b"}" + text("input.input") + number + b"ss", 3)


def wide() -> bytes:
    """Small weights whose features would take gigabytes."""
    names = rosinality_names(stylegan2(resolution=2048, channels=(1,) * 10))
    names = {name: tensor for name, tensor in names.items() if not name.startswith("noises.")}
    return torch_saved({"g_ema": {**names, "convs.15.conv.weight": torch.zeros(1, 512, 1, 3, 3)}})


HEAVY: dict[str, Hostile] = {
    "a string encoded 80 000 times": encoded_again_and_again,
    "1900 tensors of one number over one storage": lambda: one_storage(1900, 8_000_000, (1,)),
    "1900 whole tensors over one storage": lambda: one_storage(1900, 1_000_000, (1_000_000,)),
    "3000 tensors": lambda: one_storage(3000, 10, (1,)),
    "one nested storage 1900 times": lambda: nested_again_and_again(
        torch_saved(typed_storage(300_000), zipped=False), 1900
    ),
    "one nested pickle 1900 times": lambda: nested_again_and_again(
        legacy_storage(b"N0" * 5_000 + stored_at(text("0")), pickled(["0"], 2)), 1900
    ),
    "keys of one hash": one_hash,
    "a key of 5000 digits": lambda: pickled({10**5000: 1}),
    "a key of 25 digits": lambda: pickled({10**25: 1}),
    "a number of 100 000 digits": lambda: pickled({"G_ema": 10**100_000}),
    "a number of 5000 digits in text": lambda: proto(b"L" + b"9" * 5000 + b"L\n", 2),
    "long names of modules": long_names,
    "long names of variables": long_variables,
    "a deep key of a storage": deep_storage_key,
    "a number of a type of a billion laughs": array_of_laughs,
    "features of gigabytes": wide,
}


def unnamed_settings() -> bytes:
    content = ada_content(ada_names(stylegan2()))
    content["G_ema"].meta["state"]["_init_args"] = (6, 0, 5)
    return pickled(content)


def still_growing() -> bytes:
    content = tensorflow1(stylegan1())
    content[2].state["variables"][0] = ("lod", np.float32(1.5))
    return pickled(content)


def numpy_array(cut: Callable[[bytes], bytes]) -> bytes:
    _, arguments, state = np.ones((2, 3), np.float32).__reduce__()
    version, shape, dtype, fortran, data = state
    function = np.ones(1).__reduce__()[0]

    class Array:
        def __reduce__(self) -> tuple[Any, ...]:
            return function, arguments, (version, shape, dtype, fortran, cut(data))

    return pickled((None, None, Network(version=4, variables=[("mapping/Dense0/weight", Array())])))


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def flagged(data: bytes) -> bytes:
    """Marks the first entry as encrypted, in both of its headers."""
    changed = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[data.index(magic) + offset] |= 1
    return bytes(changed)


ALL = {**ROUTES, **HIDDEN, **BROKEN}
