"""Generators on disk: `<name>.safetensors` next to a JSON card that says what the weights are and pins their hash."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from ganverse.errors import GanverseError
from ganverse.generators.architectures import (
    Config,
    Generator,
    architecture_of,
    empty_generator,
    make_generator,
    mismatch,
    read_config,
)
from ganverse.io import pack_tensors, write_atomically
from ganverse.pretrained import EVALUATION, read_pinned


@dataclass(frozen=True)
class GeneratorCard:
    """Facts about a generator; `sha256` is that of the safetensors file and filled in when the weights are written.

    seed, images_seen: of the training; both 0 for imported weights. source, source_sha256: the file they came from.
    """

    config: Config
    license: str
    trained_on: str
    seed: int
    images_seen: int
    notes: str = ""
    sha256: str = ""
    source: str = ""
    source_sha256: str = ""

    @property
    def architecture(self) -> str:
        """Name of the network that `config` belongs to."""
        return architecture_of(self.config)

    @property
    def resolution(self) -> int:
        """Height and width of the images in pixels."""
        return self.config.resolution

    @property
    def view_layers(self) -> int:
        """Number of first layers that carry the viewpoint."""
        return self.config.view_layers


_SHOWN = ("resolution", "view_layers")  # on the card for people; they follow from the configuration


def save_generator(generator: Generator, path: Path, card: GeneratorCard, *, half: bool = False) -> GeneratorCard:
    """Writes `path` (ending in .safetensors) and the card beside it; returns the card as written.

    `card.config` and `card.sha256` are replaced by what belongs to the generator.
    """
    data = pack_tensors(dict(generator.state_dict()), half=half)
    written = replace(card, config=generator.config, sha256=hashlib.sha256(data).hexdigest())
    facts = {**asdict(written), **{name: getattr(written, name) for name in ("architecture", *_SHOWN)}}
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())
    return written


def read_card(path: Path) -> GeneratorCard:
    """The card of the weights at `path`.

    Raises GanverseError if the card is missing, broken or of another architecture.
    """
    card = path.with_suffix(".json")
    try:
        facts = json.loads(card.read_text())
        config = read_config(facts.pop("architecture"), facts.pop("config"))
        return GeneratorCard(
            config, **{name: value for name, value in facts.items() if name not in (*_SHOWN, EVALUATION)}
        )
    except OSError as error:
        raise GanverseError(f"Expected the card {card} beside the weights, could not read it ({error}).") from error
    except (ValueError, KeyError, TypeError, AttributeError, GanverseError) as error:
        raise GanverseError(f"The card {card} is not a generator card ({error}); export the weights again.") from error


def load_generator(path: Path, device: torch.device | str = "cpu") -> tuple[Generator, GeneratorCard]:
    """A frozen float32 generator in evaluation mode and its card.

    Raises GanverseError if a file is missing, or if the weights are not those which the card describes.
    """
    card = read_card(path)
    data = read_pinned(path, card.sha256)
    try:
        weights = {name: tensor.float() for name, tensor in load_tensors(data).items()}
        complaint = mismatch(empty_generator(card.config), weights)
    except (SafetensorError, GanverseError) as error:
        complaint = str(error)
    if complaint is not None:
        raise GanverseError(f"The weights {path} do not fit the architecture on their card ({complaint}).")
    generator = make_generator(card.config)
    generator.load_state_dict(weights)
    return generator.eval().requires_grad_(False).to(device), card
