"""The architectures a card may name: which settings they have and which network they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.generators.stylegan1 import StyleGAN1Config, StyleGAN1Generator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator

Config = StyleGAN2Config | PaperStyleGAN2Config | StyleGAN1Config
Generator = StyleGAN2Generator | PaperStyleGAN2Generator | StyleGAN1Generator

_NAMES: dict[str, type[Config]] = {
    "stylegan2": StyleGAN2Config,
    "stylegan2-paper": PaperStyleGAN2Config,
    "stylegan1": StyleGAN1Config,
}


def architecture_of(config: Config) -> str:
    """The name on the card."""
    return next(name for name, kind in _NAMES.items() if type(config) is kind)


def read_config(architecture: str, facts: dict[str, Any]) -> Config:
    """Settings as JSON has them.

    Raises:
        GanverseError: another architecture, or settings that contradict each other.
        TypeError: settings that the architecture does not have, or lacks.
    """
    if architecture not in _NAMES:
        raise GanverseError(f"Expected architecture {' or '.join(map(repr, _NAMES))}, got {architecture!r}.")
    tuples = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    return _NAMES[architecture](**{**facts, **tuples})


def make_generator(config: Config) -> Generator:
    """A new generator with random weights."""
    if isinstance(config, StyleGAN2Config):
        return StyleGAN2Generator(config)
    if isinstance(config, PaperStyleGAN2Config):
        return PaperStyleGAN2Generator(config)
    return StyleGAN1Generator(config)


def empty_generator(config: Config) -> Generator:
    """The network without memory behind its weights: its names and shapes.

    Raises:
        GanverseError: settings that make no network.
    """
    try:
        with torch.device("meta"):
            return make_generator(config)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise GanverseError(f"Settings that make no network ({error}).") from error


def mismatch(generator: Generator, weights: Mapping[str, Tensor]) -> str | None:
    """The first weight that is missing, too many or of another shape; None if all fit."""
    shapes = {name: list(tensor.shape) for name, tensor in generator.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(shapes.keys() | found.keys()):
        if shapes.get(name) != found.get(name):
            return f"{name} of shape {found.get(name, 'none')} in place of {shapes.get(name, 'none')}"
    return None
