"""Weights on disk: finding them, reading their JSON cards, and verifying them by sha256.

Weights are `NAME.safetensors` with a card `NAME.json`: architecture, training facts, the sha256 of the weights, and
evaluation results. Nothing in these files is executed.
"""

from __future__ import annotations

import hashlib
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganverse.errors import GanverseError, brief, quoted
from ganverse.io import json_bytes, pack_tensors, read_json, regular, write_together
from ganverse.model_cards import model_card

SHIPPED = Path(__file__).parent / "weights"
"""Folder of the shipped weights."""
CHECKPOINT = ".ckpt"
_WEIGHTS = ".safetensors"
_HUB = "hf://"
_MAX_CARD, _MOST_DIGITS = 2**20, 19
_MAX_HEADER = 2**22
"""Maximum header size in bytes; the largest networks have a few hundred tensors of about 100 bytes each."""

_CHECKPOINT_NAME = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|"
    r"torch (\w+Storage|b?float\d+|u?int\d+|bool|Size)"
)
"""Names that the pickle of a checkpoint may refer to."""
_COST = 1000
"""Cost of one torch operation, in numbers created; bounds the number of operations."""

T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)


class BrokenCheckpoint(GanverseError):
    """A checkpoint that cannot be resumed from."""


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    stage: pipeline stage that trains it. file: file that the stage writes. shipped: file that `car` stands for.
    """

    stage: str
    file: str
    shipped: str


INVERSE = Kind("inverse", "inverse.safetensors", "inverse-car.safetensors")
STYLEGAN_R = Kind("disentangle", "stylegan-r.safetensors", "stylegan-r-car.safetensors")
GENERATOR = Kind("gan", "generator.safetensors", "gan-car.safetensors")


def find_weights(source: str | Path, kind: Kind = INVERSE) -> Path:
    """Path of a .safetensors file with its card, or of a training checkpoint (.ckpt).

    Args:
        source: "car" (shipped weights), a run or stage directory, a .safetensors file, a .ckpt, or
            hf://owner/repository[/file.safetensors] on the Hugging Face hub.
        kind: the kind of network to find.

    Raises:
        GanverseError: no such weights were found.
    """
    text, path = str(source), Path(source)
    if text == "car":
        return SHIPPED / kind.shipped
    if text.startswith(_HUB):
        return _from_hub(text.removeprefix(_HUB), kind)
    if path.is_dir():
        return _in_folder(path, kind)
    if path.suffix in (_WEIGHTS, CHECKPOINT):
        return path
    raise GanverseError(
        f"expected weights at {source}, found none; give car, a run directory, a {_WEIGHTS} file, a {CHECKPOINT} or "
        "hf://owner/repository"
    )


def _in_folder(folder: Path, kind: Kind) -> Path:
    places = [folder / kind.stage / kind.file, folder / kind.file]
    places += [folder / kind.stage / "checkpoints" / "last.ckpt", folder / "checkpoints" / "last.ckpt"]
    for path in places:
        if path.is_file():
            return path
    raise GanverseError(
        f"expected {kind.stage}/{kind.file} or a checkpoint in the run {folder}, found neither; train that stage first"
    )


def _from_hub(name: str, kind: Kind) -> Path:
    """Downloads weights and card to the hub's cache."""
    parts = name.split("/", 2)
    file = parts[2] if len(parts) == 3 else kind.file
    if len(parts) < 2 or not file.endswith(_WEIGHTS):
        raise GanverseError(f"expected {_HUB}owner/repository or {_HUB}owner/repository/file{_WEIGHTS}, got {name}")
    repository = "/".join(parts[:2])
    hub_file(repository, str(Path(file).with_suffix(".json")))
    return hub_file(repository, file)


def hub_file(repository: str, file: str) -> Path:
    """Downloads a file of owner/repository on the Hugging Face hub to the hub's cache.

    Raises:
        GanverseError: huggingface-hub is not installed, or there is no such file.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise GanverseError(
            f"expected a local path, or huggingface-hub to download {file} of {repository}, found neither; "
            "correct the path or pip install 'ganverse[hub]'"
        ) from error
    try:
        return Path(hf_hub_download(repository, file))
    except (OSError, ValueError, RuntimeError) as error:  # the hub's own errors derive from these
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise GanverseError(
            f"expected {file} in {repository} on the hub (no local path has this name), got: {reason}"
        ) from error


def read_card(path: Path) -> dict[str, Any]:
    """The card of the weights at `path`, without its evaluation results.

    Raises:
        GanverseError: the card is missing or not JSON.
    """
    facts = read_json(path.with_suffix(".json"), "a card beside the weights")
    facts.pop("evaluation", None)
    return facts


def generator_path(name: str) -> Path:
    """Path of a generator's weights by name; "car" is shipped."""
    return SHIPPED / "gan-car.safetensors" if name == "car" else Path(name)


def views_beside(generator: Path) -> Path:
    """Path for the view codes of a GAN: beside its weights, or in the current folder for shipped weights."""
    return _beside(generator, "views.yaml")


def segmenter_beside(generator: Path) -> Path:
    """Path for the segmenter of a GAN: beside its weights, or in the current folder for shipped weights."""
    return _beside(generator, "segmenter.safetensors")


def _beside(generator: Path, ending: str) -> Path:
    path = generator.with_name(f"{generator.stem}-{ending}")
    return Path(path.name) if generator.parent == SHIPPED else path


def read_facts(path: Path, architecture: str, *, key: str = "architecture") -> dict[str, Any]:
    """`read_card` of a network whose `key` must be `architecture`.

    Raises:
        GanverseError: as `read_card`, or the card belongs to another architecture.
    """
    facts = read_card(path)
    found = facts.get(key, "none")
    if found != architecture:
        raise GanverseError(f"expected weights of a {architecture} network at {path}, got architecture {found!r:.40}")
    return facts


def build(kind: type[T], facts: Any, ready: Mapping[str, Any] | None = None) -> T:
    """Builds the dataclass `kind` from JSON: fields by name, lists as tuples, no other conversion.

    ready: fields that are not JSON.

    Raises:
        GanverseError: a field is unknown, missing, of another type, or out of range.
    """
    from pydantic import TypeAdapter, ValidationError  # slow to import

    if not isinstance(facts, dict):
        raise GanverseError(f"expected a mapping with the fields of {kind.__name__}, got a {type(facts).__name__}")
    hints, fields = get_type_hints(kind), dict(ready or {})
    for name, value in facts.items():
        if name not in hints:
            raise GanverseError(f"expected the fields of {kind.__name__}, got an unknown one, {quoted(name)}")
        try:
            text = json.dumps(value, allow_nan=False)
            fields[name] = TypeAdapter(hints[name]).validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            first = error.errors()[0]
            where, found = ".".join(map(str, (name, *first["loc"]))), quoted(first["input"])
            raise GanverseError(f"expected a valid value of {where:.80} ({first['msg']:.100}), got {found}") from error
        except (TypeError, ValueError) as error:
            raise GanverseError(f"expected text and finite numbers in {name}, got {quoted(value)}") from error
    try:
        return kind(**fields)
    except TypeError as error:
        raise GanverseError(f"expected all fields of {kind.__name__} ({brief(error):.200})") from error


def read_pinned(path: Path, sha256: str) -> bytes:
    """Contents of the file at `path`, verified by sha256.

    Raises:
        GanverseError: the file is missing or does not match its card.
    """
    try:
        data = regular(path).read_bytes()
    except OSError as error:
        raise GanverseError(f"expected weights at {path}, but they cannot be read ({error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise GanverseError(f"expected the sha256 of its card, {sha256[:12]}..., for {path}, got {found[:12]}...")
    return data


def read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors in the .safetensors file at `path`, verified by sha256.

    Raises:
        GanverseError: the file is missing, damaged, or does not match its card.
    """
    data = read_pinned(path, sha256)
    try:
        if struct.unpack_from("<Q", data)[0] > _MAX_HEADER:
            raise GanverseError(f"expected weights at {path}, got a header of more than {_MAX_HEADER >> 20} MiB")
        return load_tensors(data)
    except (SafetensorError, struct.error) as error:
        raise GanverseError(f"expected safetensors at {path}, got {brief(error):.200}") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Contents of a Lightning checkpoint, on the CPU; nothing in it is executed.

    Raises:
        BrokenCheckpoint: the file is missing, damaged, or lacks named weights or a step count, or its tensors are many
            times larger than the file.
    """
    try:
        found = _loaded(regular(path))
        state, size = found["state_dict"], path.stat().st_size
        if not all(type(found[name]) is int for name in ("epoch", "global_step")) or not state:
            raise ValueError("no weights, or no step count")
        if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > 4 * size:
            raise ValueError("tensors many times larger than the file")
    except Exception as error:
        raise BrokenCheckpoint(f"expected a training checkpoint at {path}, got: {brief(error)}") from error
    checkpoint: dict[str, Any] = found
    return checkpoint


def _loaded(path: Path) -> Any:
    """Loads a zip archive of torch.save, with stricter limits on names and memory than torch's."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type or entry.file_size > path.stat().st_size for entry in entries):
            raise ValueError("a compressed archive")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"damage in {damaged}")
        (pickled,) = (archive.read(entry) for entry in entries if entry.filename.endswith("/data.pkl"))
    for instruction, name, _ in pickletools.genops(pickled):
        if instruction.name in ("GLOBAL", "STACK_GLOBAL", "INST") and not _CHECKPOINT_NAME.fullmatch(str(name)):
            raise ValueError(f"the name {quoted(name)}")
    return torch.load(path, map_location="cpu", weights_only=True)


def save_network(
    network: nn.Module, path: Path, facts: Mapping[str, Any], *, half: bool = True, exact: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Writes `path` (.safetensors) and its card, `facts` plus the file's sha256, as NAME.json; returns the card.

    NAME.md is the same card for the Hugging Face hub.

    half: store float16. exact: name prefixes of tensors that keep their type.
    """
    data = pack_tensors(dict(network.state_dict()), half=half, exact=exact)
    card = {**facts, "sha256": hashlib.sha256(data).hexdigest()}
    readable = model_card(path.stem, card).encode()
    write_together({path: data, path.with_suffix(".md"): readable, path.with_suffix(".json"): json_bytes(card)})
    return card


def load_network(network: nn.Module, path: Path) -> str:
    """Fills `network` (float32) from `path`, sets it to eval mode, freezes it, and returns the file's sha256.

    Raises:
        GanverseError: the file is missing, does not match its card, or belongs to another architecture.
    """
    digest = str(read_card(path).get("sha256"))
    _fill(network, read_tensors(path, digest), path)
    return digest


def build_network(make: Callable[[], N], path: Path, tensors: Mapping[str, Tensor] | None = None) -> N:
    """Builds the network with `make` from the card of `path`, then fills and freezes it like `load_network`.

    A hostile card may describe a huge network; building stops when it creates far more numbers than the file holds.

    Args:
        make: builds the network.
        path: file of the weights.
        tensors: the weights, if they do not come from the .safetensors file at `path`.

    Raises:
        GanverseError: as `load_network`, or the card does not describe a network.
    """
    if tensors is None:
        tensors = read_tensors(path, str(read_card(path).get("sha256")))
    try:
        with _Allowance(sum(tensor.numel() for tensor in tensors.values())):
            network = make()
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, MemoryError) as error:
        raise GanverseError(f"expected a card that describes a network with {path}, got {brief(error):.200}") from error
    _fill(network, tensors, path)
    return network


class _Allowance(TorchDispatchMode):
    """Raises MemoryError when torch creates far too many numbers for `numbers` weights.

    Uninitialized tensors take no memory yet, so even tensors of gigabytes are noticed in time.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._largest, self._left = 2**24 + 4 * numbers, 2**28 + 64 * numbers

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            count = tensor.numel() if isinstance(tensor, Tensor) else 0
            self._left -= count + _COST
            if count > self._largest or self._left < 0:
                raise MemoryError("a network many times larger than its weights")
        return made


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        kind = type(network).__name__
        raise GanverseError(
            f"expected weights of {kind} in {path}, got another architecture's ({brief(error)})"
        ) from error
    network.eval().requires_grad_(False)
