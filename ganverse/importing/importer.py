"""From a file of somebody's weights to a generator that has synthesized an image, or to one sentence."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.style_based import ImportedConfig, NoiseMode, StyleBasedGenerator
from ganverse.generators.weights import GeneratorCard, load_generator, make_generator, save_generator
from ganverse.importing import nvidia_tensorflow, nvidia_torch, pytorch_ports
from ganverse.importing.conversion import Imported, average_of
from ganverse.importing.pickles import Made
from ganverse.importing.sources import file_name, read_source
from ganverse.importing.torch_files import TensorReader, open_file
from ganverse.pretrained import mismatch
from ganverse.random_streams import latents

_MAX_AVERAGE = 2**24
_MAX_SENTENCE = 300


@dataclass(frozen=True)
class ImportSettings:
    """What a file of weights does not say; None leaves what the architecture has by default, or the card of ours."""

    noise: NoiseMode | None = None
    """See `ImportedConfig.noise`."""
    truncation: float | None = None
    """psi for every w."""
    crop: tuple[int, int] | None = None
    """(height, width) of the visible center."""
    view_layers: int | None = None
    """First layers that carry the viewpoint."""
    class_index: int | None = None
    """The class of a conditional generator that the imported one synthesizes."""
    average: Path | None = None
    """.npy file with the average of w."""
    license: str | None = None
    """For the card, in place of what is known about the file's family."""


def import_generator(
    source: str, output: Path, settings: ImportSettings, sha256: str | None = None
) -> tuple[Path, GeneratorCard]:
    """Writes NAME.safetensors and its card into the folder `output`; returns the file and the card.

    Everything is read, checked and tried before the first byte is written.

    Raises:
        GanverseError: the file is not what can be imported; nothing has been written then.
    """
    name = file_name(source)
    data = read_source(source, sha256)
    try:
        generator, card = _imported(source, data, settings)
        _try(generator)
    except GanverseError as error:
        found = " ".join(str(error).split()).rstrip(".")[:_MAX_SENTENCE]
        prefix = "" if found.startswith("expected ") else f"expected an image GAN's weights in {source}, found "
        suffix = "" if prefix else f" (importing {source})"
        raise GanverseError(f"{prefix}{found}{suffix}; nothing written") from error
    path = output / f"{Path(name).stem}.safetensors"
    card = replace(card, source=name, source_sha256=hashlib.sha256(data).hexdigest())
    existed = path.exists()
    try:
        return path, save_generator(generator, path, card)
    except OSError as error:
        if not existed and path.exists():
            path.unlink()  # weights whose card could not be written
        raise GanverseError(f"expected a folder to write to at {output}, got: {error}") from error


def _imported(source: str, data: bytes, settings: ImportSettings) -> tuple[StyleBasedGenerator, GeneratorCard]:
    if is_safetensors(data):
        found, card = _own(source, settings)
    else:
        found = recognize(data, settings.class_index)
        card = GeneratorCard(found.config, found.license, "not known (imported)", 0, 0)
    notes = [found.family]
    if found.classes is not None:
        notes.append(f"class {settings.class_index} of {found.classes}")
    generator = fill(replace(found, config=_chosen(found, settings)), _average(settings.average), notes)
    card = replace(card, license=settings.license or card.license, notes="; ".join(filter(None, notes)))
    return generator, replace(card, class_index=card.class_index if found.classes is None else settings.class_index)


def _own(source: str, settings: ImportSettings) -> tuple[Imported, GeneratorCard]:
    """Weights of ours with their card beside them."""
    if "://" in source:
        raise GanverseError("safetensors without the card beside them; get both files, then import the local one")
    if settings.class_index is not None:
        raise GanverseError("a generator of ours, whose class is fixed; omit --class-index")
    generator, card = load_generator(Path(source))
    return Imported(card.notes, card.config, dict(generator.state_dict()), card.license), card


def _chosen(found: Imported, settings: ImportSettings) -> Any:
    """The configuration with what the settings say; GanverseError for what the architecture does not have."""
    given = {name: getattr(settings, name) for name in ("noise", "truncation", "crop", "view_layers")}
    changes = {name: value for name, value in given.items() if value is not None}
    foreign = changes.keys() - {"view_layers"}
    if foreign and not isinstance(found.config, ImportedConfig):
        options = ", ".join(f"--{name}" for name in sorted(foreign))
        raise GanverseError(f"a generator that was trained here, for which there is no {options}")
    if "view_layers" in changes:
        changes["view_layers"] = min(changes["view_layers"], found.config.layers)
    return replace(found.config, **changes)


def is_safetensors(data: bytes) -> bool:
    """Whether the file starts with the length of a JSON header and that header."""
    return len(data) > 9 and struct.unpack_from("<Q", data)[0] <= len(data) - 8 and data[8:9] == b"{"


def recognize(data: bytes, class_index: int | None = None) -> Imported:
    """The generator in a PyTorch file or a bare pickle, whose contents tell the kind; its name says nothing.

    Raises:
        GanverseError: what was found instead, without naming the file.
    """
    unconditional: list[tuple[Callable[[Any], bool], Callable[[Any, TensorReader], Imported]]] = [
        (nvidia_tensorflow.reads, nvidia_tensorflow.read),
        (pytorch_ports.reads_stylegan2, pytorch_ports.read_stylegan2),
        (pytorch_ports.reads_stylegan1, pytorch_ports.read_stylegan1),
    ]
    try:
        value, reader = open_file(data)
        if nvidia_torch.reads(value):
            return nvidia_torch.read(value, reader, class_index)
        for reads, read in unconditional:
            if reads(value):
                if class_index is not None:
                    raise GanverseError("an unconditional generator; omit --class-index")
                return read(value, reader)
        raise GanverseError(_description(value))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise GanverseError(f"a file that contradicts itself ({type(error).__name__}: {error})") from error


def _description(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(repr(name)[:30] for name in list(value)[:4] if isinstance(name, (str, int)))
        return f"a mapping with the keys {names or 'none'}"
    if isinstance(value, Made):
        return f"a {value.name}"
    return f"an object of type {type(value).__name__}"


def fill(found: Imported, average: Float[Tensor, " w_dim"] | None, notes: list[str]) -> StyleBasedGenerator:
    """The network with the weights of the file; what the file does not keep is supplied, and noted in `notes`.

    Raises:
        GanverseError: a weight is missing, of another shape, or not finite.
    """
    weights = dict(found.weights)
    if average is not None:
        weights["w_average"] = average
    with torch.device("meta"):
        generator = make_generator(found.config)
    estimate = "w_average" not in weights
    _supply(weights, generator, notes)
    complaint = mismatch(generator, weights)
    if complaint is not None:
        raise GanverseError(complaint)
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise GanverseError(f"numbers that are not finite (in what becomes {name})")
    generator.load_state_dict(weights, assign=True)
    if estimate:
        generator.estimate_average()
    return generator.eval().requires_grad_(False)


def _supply(weights: dict[str, Tensor], generator: StyleBasedGenerator, notes: list[str]) -> None:
    """Noise planes (seed 0), if there are none at all, and room for the average of w."""
    planes = {name: tensor.shape for name, tensor in generator.named_buffers() if name.startswith("noise_")}
    if "w_average" not in weights:
        weights["w_average"] = torch.zeros(generator.config.w_dim)
        notes.append("average of w estimated from 10 000 latents")
    if planes and not planes.keys() & weights.keys():
        source = torch.Generator().manual_seed(0)
        weights.update({name: torch.randn(shape, generator=source) for name, shape in planes.items()})
        notes.append("noise planes drawn with seed 0")


def _average(path: Path | None) -> Float[Tensor, " w_dim"] | None:
    if path is None:
        return None
    try:
        if path.stat().st_size > _MAX_AVERAGE:
            raise GanverseError(f"an average of w at {path} of more than {_MAX_AVERAGE >> 20} MiB")
        return average_of(torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32, casting="same_kind")))
    except GanverseError:
        raise
    except Exception as error:  # numpy raises anything for a damaged header
        raise GanverseError(f"an average of w at {path} that cannot be read ({error})") from error


@torch.no_grad()
def _try(generator: StyleBasedGenerator) -> None:
    """Synthesizes one image: finite weights may still overflow."""
    styles = generator.styles(generator.map(latents(0, [0], generator.z_dim)))
    if not bool(generator.synthesize_raw(styles).isfinite().all()):
        raise GanverseError("weights whose image is not finite")
