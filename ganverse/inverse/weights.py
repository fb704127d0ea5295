"""Trained inverse graphics networks and their cameras: safetensors with a JSON card, or training checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ganverse.errors import GanverseError, brief
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import DEFAULT_NETWORK, InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.pretrained import (
    CHECKPOINT,
    INVERSE,
    build,
    build_network,
    find_weights,
    read_checkpoint,
    read_facts,
    save_network,
)

ARCHITECTURE = "inverse-graphics"
_MAX_VIEWS = 100_000


@dataclass(frozen=True)
class InverseCard:
    """Card of a network; `config`, `views`, `learn_offset` and `sha256` are set when the weights are written.

    generator, generator_sha256: training data (no hash for the car world). images_seen: images of training. license:
    that of the generator, empty if unknown. learn_offset: whether cameras have an image shift. category: of the
    objects, empty if unknown. sha256: of the weights. perceptual: name of the `PerceptualDistance` used in training,
    empty without one.
    """

    generator: str
    generator_sha256: str
    images_seen: int
    seed: int
    license: str = ""
    notes: str = ""
    learn_offset: bool = True
    config: InverseNetworkConfig = DEFAULT_NETWORK
    views: int = 0
    sha256: str = ""
    architecture: str = ARCHITECTURE
    category: str = ""
    perceptual: str = ""


@dataclass(frozen=True)
class InverseModel:
    """Network and cameras as saved, frozen, in eval mode."""

    network: InverseGraphicsNetwork
    cameras: CameraTable
    card: InverseCard


def load_inverse(source: str | Path, device: torch.device | str = "cpu") -> InverseModel:
    """Loads network, cameras and card.

    Args:
        source: "car" (shipped), a run directory, a .safetensors file, a training .ckpt (uses its EMA if there is one),
            or hf://owner/repository[/file.safetensors]; see `pretrained.find_weights`.
        device: of network and cameras.

    Raises:
        GanverseError: the weights are missing, damaged, of another kind, or do not match their card.
    """
    path = find_weights(source, INVERSE)
    if path.suffix == CHECKPOINT:
        return _load_checkpoint(path, device)
    card = read_inverse_card(path)
    return _model(build_network(lambda: _empty(card), path), card, device)


def read_inverse_card(path: Path) -> InverseCard:
    """The card of the weights at `path`; GanverseError if it is missing or of another kind."""
    return build(InverseCard, read_facts(path, ARCHITECTURE))


def save_inverse(
    network: InverseGraphicsNetwork, cameras: CameraTable, path: Path, card: InverseCard, *, half: bool = False
) -> InverseCard:
    """Writes `path` (.safetensors) and its card; returns the card as written.

    half: store the network as float16. The cameras stay float32, because float16 would lose a fifth of a degree.
    """
    written = replace(card, config=network.config, views=len(cameras), learn_offset=cameras.learn_offset)
    both = nn.ModuleDict({"network": network, "cameras": cameras})
    return replace(written, sha256=save_network(both, path, asdict(written), half=half, exact=("cameras.",))["sha256"])


def _load_checkpoint(path: Path, device: torch.device | str) -> InverseModel:
    """Loads `network` and `cameras` of `tasks.InverseGraphics`; nothing in the file is executed."""
    try:
        checkpoint = read_checkpoint(path)
        state, settings = checkpoint["state_dict"], checkpoint["hyper_parameters"]
        config, notes = build(InverseNetworkConfig, settings["network"]), f"checkpoint {path.name}"
        card = InverseCard(
            generator="",
            generator_sha256="",
            images_seen=checkpoint["images_seen"],
            seed=0,
            notes=notes,
            learn_offset=bool(settings["cameras"]["learn_offset"]),
            config=config,
            views=len(state["cameras.offset"]),
        )
        own = {name: tensor for name, tensor in state.items() if name.split(".")[0] in ("network", "cameras")}
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise GanverseError(f"expected a checkpoint of the inverse stage at {path}, got: {brief(error)}") from error
    return _model(build_network(lambda: _empty(card), path, own), card, device)


def _empty(card: InverseCard) -> nn.ModuleDict:
    if not 1 <= card.views <= _MAX_VIEWS:
        raise GanverseError(f"expected 1 to {_MAX_VIEWS} views, got {card.views}")
    cameras = CameraTable([0.0] * card.views, learn_offset=card.learn_offset)
    return nn.ModuleDict({"network": InverseGraphicsNetwork(card.config), "cameras": cameras})


def _model(both: nn.ModuleDict, card: InverseCard, device: torch.device | str) -> InverseModel:
    network, cameras = both.to(device).children()
    assert isinstance(network, InverseGraphicsNetwork)
    assert isinstance(cameras, CameraTable)
    return InverseModel(network, cameras, card)
