"""Imports a file of weights: a tested generator, or a one-sentence error."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganverse.errors import GanverseError, brief
from ganverse.generators.style_based import NoiseMode, StyleBasedGenerator
from ganverse.generators.weights import GeneratorCard, make_generator, save_generator
from ganverse.importing import nvidia_tensorflow, nvidia_torch, pytorch_ports
from ganverse.importing.conversion import Imported
from ganverse.importing.pickles import Made
from ganverse.importing.torch_files import TensorReader, open_file
from ganverse.pretrained import hub_file
from ganverse.random_streams import latents

MAX_FILE = 4 * 2**30
"""Maximum file size in bytes; the largest published files have about 0.4 GiB, checkpoints with optimizers 1.5."""
_HUB = "hf://"
_MAX_SENTENCE = 300


@dataclass(frozen=True)
class ImportSettings:
    """What a file of weights does not specify; None keeps the architecture's default, or the file's value."""

    noise: NoiseMode | None = None
    """See `ImportedConfig.noise`."""
    truncation: float | None = None
    """psi for every w."""
    crop: tuple[int, int] | None = None
    """(height, width) of the visible center."""
    view_layers: int | None = None
    """Number of first layers that carry the viewpoint."""
    class_index: int | None = None
    """Class of a conditional generator to import."""
    license: str | None = None
    """License for the card, instead of what is known about the file format."""


def import_generator(source: str, output: Path, settings: ImportSettings) -> tuple[Path, GeneratorCard]:
    """Writes NAME.safetensors and its card to the folder `output`; returns the file and the card.

    source: see `read_source`. Everything is read, checked and tested before the first byte is written.

    Raises:
        GanverseError: the file cannot be imported; nothing was written.
    """
    name, data = Path(source).name, read_source(source)
    try:
        generator, card = _imported(data, settings)
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
            for part in (path, path.with_suffix(".md"), path.with_suffix(".json")):  # incomplete
                part.unlink(missing_ok=True)
        raise GanverseError(f"expected a folder to write to at {output}, got: {error}") from error


def read_source(source: str) -> bytes:
    """The contents of a path or of hf://owner/repository/file.

    Raises:
        GanverseError: the file is missing, or larger than `MAX_FILE`.
    """
    if source.startswith(_HUB):
        owner, repository, file = (*source.removeprefix(_HUB).split("/", 2), "", "")[:3]
        if not (owner and repository and file):
            raise GanverseError(f"expected hf://owner/repository/file, got {source}")
        path = hub_file(f"{owner}/{repository}", file)
    elif "://" in source:
        raise GanverseError(f"expected a file or hf://owner/repository/file, got {source}; download it first")
    else:
        path = Path(source)
    if not path.is_file():
        raise GanverseError(f"expected a file at {source}, found {'a folder' if path.is_dir() else 'none'}")
    if path.stat().st_size > MAX_FILE:
        raise GanverseError(f"expected at most {MAX_FILE / 2**30:g} GiB, {source} has more")
    return path.read_bytes()


def _imported(data: bytes, settings: ImportSettings) -> tuple[StyleBasedGenerator, GeneratorCard]:
    found = recognize(data, settings.class_index)
    given = {name: getattr(settings, name) for name in ("noise", "truncation", "crop", "view_layers")}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "view_layers" in changes:
        changes["view_layers"] = min(changes["view_layers"], found.config.layers)
    notes = [found.family]
    if found.classes is not None:
        notes.append(f"class {settings.class_index} of {found.classes}")
    found = replace(found, config=replace(found.config, **changes))
    generator = fill(found, notes)
    card = GeneratorCard(found.config, settings.license or found.license, "not known (imported)", 0, 0)
    return generator, replace(card, notes="; ".join(notes), class_index=settings.class_index)


def recognize(data: bytes, class_index: int | None = None) -> Imported:
    """The generator in a PyTorch file or a bare pickle; the format is detected from the contents, not the name.

    Raises:
        GanverseError: what was found instead, without the file's name.
    """
    families: list[tuple[Callable[[Any], bool], Callable[[Any, TensorReader], Imported]]] = [
        (nvidia_torch.reads, partial(nvidia_torch.read, class_index=class_index)),
        (nvidia_tensorflow.reads, nvidia_tensorflow.read),
        (pytorch_ports.reads_stylegan2, pytorch_ports.read_stylegan2),
        (pytorch_ports.reads_stylegan1, pytorch_ports.read_stylegan1),
    ]
    try:
        value, reader = open_file(data)
        read = next((read for reads, read in families if reads(value)), None)
        if read is None:
            raise GanverseError(_description(value))
        found = read(value, reader)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise GanverseError(f"a file that contradicts itself ({type(error).__name__}: {error})") from error
    if class_index is not None and found.classes is None:
        raise GanverseError("an unconditional generator; omit --class-index")
    return found


def _description(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(repr(name)[:30] for name in list(value)[:4] if isinstance(name, (str, int)))
        return f"a mapping with the keys {names or 'none'}"
    if isinstance(value, Made):
        return f"a {value.name}"
    return f"an object of type {type(value).__name__}"


def fill(found: Imported, notes: list[str]) -> StyleBasedGenerator:
    """The network with the weights of the file; missing parts are supplied and noted in `notes`.

    Raises:
        GanverseError: a weight is missing, of another shape, or not finite.
    """
    weights = dict(found.weights)
    with torch.device("meta"):
        generator = make_generator(found.config)
    estimate = "w_average" not in weights
    _supply(weights, generator, notes)
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise GanverseError(f"values that are not finite (for {name})")
    try:
        generator.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise GanverseError(brief(error)) from error
    if estimate:
        generator.estimate_average()
    return generator.eval().requires_grad_(False)


def _supply(weights: dict[str, Tensor], generator: StyleBasedGenerator, notes: list[str]) -> None:
    """Noise planes (seed 0) if there are none, and space for the average of w."""
    planes = {name: tensor.shape for name, tensor in generator.named_buffers() if name.startswith("noise_")}
    if "w_average" not in weights:
        weights["w_average"] = torch.zeros(generator.config.w_dim)
        notes.append("average of w estimated from 10 000 latents")
    if planes and not planes.keys() & weights.keys():
        source = torch.Generator().manual_seed(0)
        weights.update({name: torch.randn(shape, generator=source) for name, shape in planes.items()})
        notes.append("noise planes drawn with seed 0")


@torch.no_grad()
def _try(generator: StyleBasedGenerator) -> None:
    """Synthesizes one image, because finite weights may still overflow."""
    styles = generator.styles(generator.map(latents(0, [0], generator.z_dim)))
    if not bool(generator.synthesize_raw(styles).isfinite().all()):
        raise GanverseError("weights that synthesize an image with values that are not finite")
