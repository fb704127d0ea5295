"""Generators on disk: `NAME.safetensors` with a JSON card of architecture and sha256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ganverse.errors import GanverseError
from ganverse.generators.style_based import StyleBasedConfig, StyleBasedGenerator
from ganverse.generators.stylegan1 import StyleGAN1Config, StyleGAN1Generator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
from ganverse.generators.stylegan3 import StyleGAN3Config, StyleGAN3Generator
from ganverse.pretrained import CHECKPOINT, GENERATOR, build, build_network, find_weights, read_card, save_network

_NETWORKS: dict[str, tuple[type[StyleBasedConfig], Callable[..., StyleBasedGenerator]]] = {
    "stylegan2": (StyleGAN2Config, StyleGAN2Generator),
    "stylegan2-paper": (PaperStyleGAN2Config, PaperStyleGAN2Generator),
    "stylegan1": (StyleGAN1Config, StyleGAN1Generator),
    "stylegan3": (StyleGAN3Config, StyleGAN3Generator),
}


@dataclass(frozen=True)
class GeneratorCard:
    """Card of a generator; `sha256` (of the safetensors file) is set when the weights are written.

    seed, images_seen: of the training; 0 for imported weights. source, source_sha256: the imported file. class_index:
    the imported class of a conditional generator, None for an unconditional one.
    """

    config: StyleBasedConfig
    license: str
    trained_on: str
    seed: int
    images_seen: int
    notes: str = ""
    sha256: str = ""
    source: str = ""
    source_sha256: str = ""
    class_index: int | None = None

    @property
    def architecture(self) -> str:
        """Name of the network."""
        return architecture_of(self.config)


def architecture_of(config: StyleBasedConfig) -> str:
    """Name of the architecture in a card."""
    return next(name for name, (kind, _) in _NETWORKS.items() if type(config) is kind)


def read_config(architecture: Any, facts: Any) -> StyleBasedConfig:
    """Settings of an architecture from JSON.

    Raises:
        GanverseError: unknown architecture, or settings that are unknown, out of range or inconsistent.
    """
    if architecture not in list(_NETWORKS):
        raise GanverseError(f"expected architecture {' or '.join(map(repr, _NETWORKS))}, got {architecture!r:.40}")
    return build(_NETWORKS[architecture][0], facts)


def make_generator(config: StyleBasedConfig) -> StyleBasedGenerator:
    """A new generator with random weights; with `torch.device("meta")` it takes no memory."""
    return _NETWORKS[architecture_of(config)][1](config)


def save_generator(
    generator: StyleBasedGenerator, path: Path, card: GeneratorCard, *, half: bool = False
) -> GeneratorCard:
    """Writes `path` (ending in .safetensors) and its card; returns the card as written.

    `card.config` and `card.sha256` are set from the generator.
    """
    written = replace(card, config=generator.config)
    facts = {"architecture": written.architecture, **asdict(written)}
    return replace(written, sha256=save_network(generator, path, facts, half=half)["sha256"])


def read_generator_card(path: Path) -> GeneratorCard:
    """The card of the weights at `path`; GanverseError if it is missing, broken or of another kind."""
    repeated = ("resolution", "view_layers")  # duplicated in cards of version 0.1
    facts = {name: value for name, value in read_card(path).items() if name not in repeated}
    try:
        config = read_config(facts.pop("architecture", "none"), facts.pop("config", None))
        return build(GeneratorCard, facts, {"config": config})
    except GanverseError as error:
        raise GanverseError(f"{path.with_suffix('.json')} is not the card of a generator: {error}") from error


def load_generator(source: str | Path, device: torch.device | str = "cpu") -> tuple[StyleBasedGenerator, GeneratorCard]:
    """Loads a frozen float32 generator in eval mode, and its card.

    Args:
        source: "car" (the shipped GAN), a .safetensors file, a run directory, or
            hf://owner/repository[/file.safetensors].
        device: of the generator.

    Raises:
        GanverseError: a file is missing, or the weights do not match their card.
    """
    path = find_weights(source, GENERATOR)
    if path.suffix == CHECKPOINT:
        raise GanverseError(f"expected the .safetensors of a generator, got the checkpoint {path}; finish its training")
    card = read_generator_card(path)
    return build_network(lambda: make_generator(card.config), path).to(device), card
