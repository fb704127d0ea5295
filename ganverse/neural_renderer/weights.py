"""A trained StyleGAN-R on disk: safetensors next to a JSON card that pins their hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from ganverse.errors import GanverseError, brief
from ganverse.generators.framing import LetterboxGenerator
from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.generators.style_based import StyleBasedConfig, StyleBasedGenerator
from ganverse.generators.weights import architecture_of, make_generator, read_config
from ganverse.io import pack_tensors, write_atomically
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.pretrained import read_facts, read_pinned

ARCHITECTURE = "stylegan-r"


@dataclass(frozen=True)
class StyleGANRCard:
    """Facts about a StyleGAN-R; `sha256` (of the file) is filled in when the weights are written.

    generator: architecture of the GAN inside. content_directions: how many there are where the GAN is directed
    (`generators.protocol`), else 0. view_dims, vertices, texture_size, mapping: see `StyleGANR`.
    generator_sha256, inverse_sha256: files of the GAN it started from, and of the network and cameras that taught it.
    images_seen: pictures of training.
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
    license: str = "Apache-2.0"
    notes: str = ""
    sha256: str = ""
    architecture: str = ARCHITECTURE


def save_stylegan_r(renderer: StyleGANR, path: Path, card: StyleGANRCard, *, half: bool = False) -> StyleGANRCard:
    """Writes `path` (.safetensors, float16 if `half`) and its card; returns the card as written."""
    data = pack_tensors(dict(renderer.state_dict()), half=half)
    written = replace(card, sha256=hashlib.sha256(data).hexdigest())
    write_atomically(path, data)
    facts = {**asdict(written), "generator_architecture": architecture_of(written.generator)}
    write_atomically(path.with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())
    return written


def read_stylegan_r_card(path: Path) -> StyleGANRCard:
    """The card of the weights at `path`; GanverseError if it is missing or of another kind."""
    facts = read_facts(path, ARCHITECTURE)
    try:
        # cards written before there were other architectures do not name it
        config = read_config(facts.pop("generator_architecture", "stylegan2"), facts.pop("generator"))
        # nor did their g_b and g_t reach the view dimensions
        mapping = MappingSettings(**{"background_view": False, "texture_view": False, **facts.pop("mapping")})
        view_dims = tuple(facts.pop("view_dims"))
        return StyleGANRCard(generator=config, mapping=mapping, view_dims=view_dims, **facts)
    except (KeyError, TypeError) as error:
        raise GanverseError(f"expected a whole card beside {path}, got {error}; export the weights again") from error


def described_generator(generator: ImageGenerator) -> tuple[StyleBasedConfig, int]:
    """A generator's architecture and number of content directions, for the card; GanverseError for one without."""
    directions = 0
    if isinstance(generator, SubspaceGenerator):
        directions, generator = generator.read.shape[1], generator.generator
    if isinstance(generator, LetterboxGenerator):
        raise GanverseError(
            "expected the GAN's own square pictures, which StyleGAN-R paints, got scaled or letterboxed ones; leave "
            "--data.resolution out, or import the GAN without --crop"
        )
    if not isinstance(generator, StyleBasedGenerator):
        name = type(generator).__name__
        raise GanverseError(f"expected an image GAN to fine-tune, got a {name}, which has no weights")
    return generator.config, directions


def _empty_generator(card: StyleGANRCard) -> StyleBasedGenerator | SubspaceGenerator:
    network = make_generator(card.generator)
    if not card.content_directions:
        return network
    empty = torch.zeros(sum(network.style_sizes), card.content_directions)
    return SubspaceGenerator(network, empty, empty.clone())


def load_stylegan_r(path: Path, device: torch.device | str = "cpu") -> tuple[StyleGANR, StyleGANRCard]:
    """A frozen float32 StyleGAN-R in evaluation mode and its card.

    Raises:
        GanverseError: a file is missing, or the weights are not those of the card.
    """
    card = read_stylegan_r_card(path)
    data = read_pinned(path, card.sha256)
    renderer = StyleGANR(
        _empty_generator(card),
        card.view_dims,
        vertices=card.vertices,
        texture_size=card.texture_size,
        settings=card.mapping,
    )
    try:
        renderer.load_state_dict(load_tensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise GanverseError(f"expected weights that fit the card of {path}, got others ({brief(error)})") from error
    return renderer.eval().requires_grad_(False).to(device), card
