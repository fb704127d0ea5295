"""A trained StyleGAN-R on disk: safetensors with a JSON card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ganverse.errors import GanverseError
from ganverse.generators.framing import framed, unframed
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.generators.style_based import StyleBasedConfig, StyleBasedGenerator
from ganverse.generators.weights import architecture_of, make_generator, read_config
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.pretrained import STYLEGAN_R, build, build_network, find_weights, read_facts, save_network

ARCHITECTURE = "stylegan-r"


@dataclass(frozen=True)
class StyleGANRCard:
    """Card of a StyleGAN-R; `sha256` (of the file) is set when the weights are written.

    generator: architecture of the GAN. content_directions: number of content directions of a subspace GAN
    (`generators.protocol`), else 0. view_dims, vertices, texture_size, mapping: see `StyleGANR`. generator_sha256,
    inverse_sha256: files of the original GAN, and of the inverse network with its cameras. images_seen: images of
    training. resolution: size in pixels of the square that the inverse network sees; None: the generator's own.
    perceptual: name of the `PerceptualDistance` used in training, empty for none.
    """

    generator: StyleBasedConfig
    view_dims: tuple[int, ...]
    vertices: int
    texture_size: int
    mapping: MappingSettings
    generator_sha256: str
    inverse_sha256: str
    images_seen: int
    seed: int
    content_directions: int = 0
    resolution: int | None = None
    license: str = ""
    notes: str = ""
    sha256: str = ""
    perceptual: str = ""
    architecture: str = ARCHITECTURE


def load_stylegan_r(source: str | Path, device: torch.device | str = "cpu") -> tuple[StyleGANR, StyleGANRCard]:
    """Loads a frozen float32 StyleGAN-R in eval mode, and its card.

    Args:
        source: "car" (shipped), a run directory, a .safetensors file or hf://owner/repository[/file.safetensors]; see
            `pretrained.find_weights`.
        device: of the network.

    Raises:
        GanverseError: the weights are missing, damaged, or do not match their card.
    """
    path = find_weights(source, STYLEGAN_R)
    card = read_stylegan_r_card(path)
    return build_network(lambda: _empty(card), path).to(device), card


def read_stylegan_r_card(path: Path) -> StyleGANRCard:
    """The card of the weights at `path`; GanverseError if it is missing or of another kind."""
    facts = read_facts(path, ARCHITECTURE)
    config = read_config(facts.pop("generator_architecture", "none"), facts.pop("generator", None))
    return build(StyleGANRCard, facts, {"generator": config})


def save_stylegan_r(renderer: StyleGANR, path: Path, card: StyleGANRCard, *, half: bool = False) -> StyleGANRCard:
    """Writes `path` (.safetensors, float16 if `half`) and its card; returns the card as written."""
    facts = {**asdict(card), "generator_architecture": architecture_of(card.generator)}
    return replace(card, sha256=save_network(renderer, path, facts, half=half)["sha256"])


def described_generator(generator: ImageGenerator) -> tuple[StyleBasedConfig, int]:
    """A generator's architecture and number of content directions; GanverseError for a generator without weights."""
    directions, generator = 0, unframed(generator)[0]
    if isinstance(generator, SubspaceGenerator):
        directions, generator = generator.read.shape[1], generator.generator
    if not isinstance(generator, StyleBasedGenerator):
        name = type(generator).__name__
        raise GanverseError(f"expected an image GAN to fine-tune, got a {name}, which has no weights")
    return generator.config, directions


def _empty(card: StyleGANRCard) -> StyleGANR:
    generator: StyleBasedGenerator | SubspaceGenerator = make_generator(card.generator)
    if card.content_directions:
        directions = torch.zeros(sum(generator.style_sizes), card.content_directions)
        generator = SubspaceGenerator(generator, directions, directions.clone())
    return StyleGANR(
        framed(generator, card.resolution),
        card.view_dims,
        vertices=card.vertices,
        texture_size=card.texture_size,
        settings=card.mapping,
    )
