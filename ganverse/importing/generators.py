"""From what a file describes to a generator that has painted a picture, or to one sentence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.architectures import Generator, empty_generator, mismatch
from ganverse.generators.style_based import NoiseMode, StyleBasedGenerator
from ganverse.generators.stylegan1 import StyleGAN1Generator
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, load_generator, save_generator
from ganverse.importing.conversion import Imported
from ganverse.importing.recognition import is_safetensors, recognize
from ganverse.importing.sources import read_source
from ganverse.random_streams import latents

MAX_SIDE = 2048


@dataclass(frozen=True)
class ImportSettings:
    """What a file of weights does not say.

    crop: (height, width) of the visible center. view_layers: first layers that carry the viewpoint. average: .npy file
    with the average of w. license: for the card, in place of what is known about the file's family.
    """

    noise: NoiseMode = "constant"
    truncation: float = 1.0
    crop: tuple[int, int] | None = None
    view_layers: int = 4
    average: Path | None = None
    license: str | None = None


def import_generator(
    source: str, output: Path, settings: ImportSettings, sha256: str | None = None
) -> tuple[Path, GeneratorCard]:
    """Writes NAME.safetensors and its card into the folder `output`; returns the file and the card.

    Everything is read, checked and tried before the first byte is written.

    Raises:
        GanverseError: the file is not what can be imported; nothing has been written then.
    """
    data = read_source(source, sha256)
    try:
        generator, card = _own(source, settings) if is_safetensors(data) else _foreign(data, settings)
        _try(generator)
    except GanverseError as error:
        found = " ".join(str(error).split()).rstrip(".")
        raise GanverseError(f"expected an image GAN's weights in {source}, found {found}; nothing written") from error
    name = Path(urlsplit(source).path).name
    path = output / f"{Path(name).stem}.safetensors"
    card = replace(card, source=name, source_sha256=hashlib.sha256(data).hexdigest())
    existed = path.exists()
    try:
        return path, save_generator(generator, path, card)
    except OSError as error:
        if not existed and path.exists():
            path.unlink()  # weights whose card could not be written
        raise GanverseError(f"expected a folder to write to at {output}, got: {error}") from error


def _foreign(data: bytes, settings: ImportSettings) -> tuple[Generator, GeneratorCard]:
    found = recognize(data)
    config = replace(
        found.config,
        noise=settings.noise,
        truncation=settings.truncation,
        crop=settings.crop,
        view_layers=min(settings.view_layers, found.config.layers),
    )
    notes = [found.family]
    generator = filled(replace(found, config=config), _average(settings.average), notes)
    license = settings.license or found.license
    return generator, GeneratorCard(config, license, "not known (imported)", 0, 0, "; ".join(notes))


def _own(source: str, settings: ImportSettings) -> tuple[Generator, GeneratorCard]:
    """Weights of ours with their card beside them, which knows everything already."""
    if "://" in source:
        raise GanverseError("safetensors without the card beside them; get both files, then import the local one")
    generator, card = load_generator(Path(source))
    return generator, replace(card, license=settings.license or card.license)


def filled(
    found: Imported, average: Float[Tensor, " w_dim"] | None, notes: list[str]
) -> PaperStyleGAN2Generator | StyleGAN1Generator:
    """The network with the weights of the file; what the file does not keep is supplied, and said in `notes`.

    Raises:
        GanverseError: a weight of another shape, or not finite.
    """
    if found.config.resolution > MAX_SIDE:
        raise GanverseError(f"a generator of {found.config.resolution} px; {MAX_SIDE} is the most")
    weights = dict(found.weights)
    if average is not None:
        weights["w_average"] = average
    generator = empty_generator(found.config)
    assert isinstance(generator, (PaperStyleGAN2Generator, StyleGAN1Generator))
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
    """Noise planes (seed 0) and room for the average of w, where a file does not keep them."""
    source = torch.Generator().manual_seed(0)
    missing = {name: tensor.shape for name, tensor in generator.named_buffers() if name not in weights}
    for name, shape in missing.items():
        weights[name] = torch.zeros(shape) if name == "w_average" else torch.randn(shape, generator=source)
    if "w_average" in missing:
        notes.append("average of w estimated from 10 000 latents")
    if missing.keys() - {"w_average"}:
        notes.append("noise planes drawn with seed 0")


def _average(path: Path | None) -> Float[Tensor, " w_dim"] | None:
    if path is None:
        return None
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32)).flatten()
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise GanverseError(f"an average of w at {path} that cannot be read ({error})") from error


@torch.no_grad()
def _try(generator: Generator) -> None:
    """Paints one picture: finite weights may still overflow."""
    styles = generator.styles(generator.map(latents(0, [0], generator.z_dim)))
    if not bool(generator.paint(styles).isfinite().all()):
        raise GanverseError("weights whose picture is not finite")
