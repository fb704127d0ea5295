"""Trained inverse graphics networks with their cameras: safetensors beside a JSON card, or a checkpoint of training."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganverse.errors import GanverseError, brief
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import DEFAULT_NETWORK, InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.pretrained import CHECKPOINT, INVERSE, find_weights, load_network, read_facts, save_network

ARCHITECTURE = "inverse-graphics"


@dataclass(frozen=True)
class InverseCard:
    """Facts about a network; `config`, `views`, `learn_offset` and `sha256` are filled in when the weights are written.

    generator, generator_sha256: what it was trained on (no hash for the car world). images_seen: images of training.
    learn_offset: whether the cameras may shift the image. category: of the objects, empty where it is not
    known. sha256: of the file of the weights.
    """

    generator: str
    generator_sha256: str
    images_seen: int
    seed: int
    license: str = "Apache-2.0"
    notes: str = ""
    learn_offset: bool = True
    category: str = ""
    config: InverseNetworkConfig = DEFAULT_NETWORK
    views: int = 0
    sha256: str = ""
    architecture: str = ARCHITECTURE


@dataclass(frozen=True)
class InverseModel:
    """Network and cameras as they were saved, frozen, in evaluation mode."""

    network: InverseGraphicsNetwork
    cameras: CameraTable
    card: InverseCard


def load_inverse(source: str | Path, device: torch.device | str = "cpu") -> InverseModel:
    """Network, cameras and card.

    Args:
        source: "car" (in the package), a run directory, a .safetensors file, a .ckpt of training (its running average
            where training keeps one) or hf://owner/repository[/file.safetensors]; see `pretrained.find_weights`.
        device: of network and cameras.

    Raises:
        GanverseError: there are no weights, or they are damaged, of another kind or not those of their card.
    """
    path = find_weights(source, INVERSE)
    if path.suffix == CHECKPOINT:
        return _load_checkpoint(path, device)
    card = read_inverse_card(path)
    both = _empty(card)
    load_network(both, path)
    return _model(both, card, device)


def read_inverse_card(path: Path) -> InverseCard:
    """The card of the weights at `path`; GanverseError if it is missing or of another kind."""
    try:
        return _card(read_facts(path, ARCHITECTURE))
    except (KeyError, TypeError) as error:
        raise GanverseError(f"expected a whole card beside {path}, got {error}; export the weights again") from error


def save_inverse(
    network: InverseGraphicsNetwork, cameras: CameraTable, path: Path, card: InverseCard, *, half: bool = False
) -> InverseCard:
    """Write `path` (.safetensors) and its card; return the card as written.

    half: store the network as float16. The cameras stay float32: a fifth of a degree would be lost.
    """
    facts = asdict(replace(card, config=network.config, views=len(cameras), learn_offset=cameras.learn_offset))
    both = nn.ModuleDict({"network": network, "cameras": cameras})
    return _card(save_network(both, path, facts, half=half, exact=("cameras.",)))


def _load_checkpoint(path: Path, device: torch.device | str) -> InverseModel:
    """`network` and `cameras` of `tasks.InverseGraphics`; nothing in the file is executed."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state, config = checkpoint["state_dict"], _config(checkpoint["hyper_parameters"]["network"])
        offset, notes = state["cameras.offset"], f"checkpoint {path.name}"
        card = InverseCard(
            generator="",
            generator_sha256="",
            images_seen=checkpoint["images_seen"],
            seed=0,
            notes=notes,
            learn_offset=bool(offset.any()),
            config=config,
            views=len(offset),
        )
        both = _empty(card)
        both.load_state_dict({name: tensor for name, tensor in state.items() if name.split(".")[0] in both})
    except (OSError, KeyError, TypeError, AttributeError, RuntimeError, pickle.UnpicklingError) as error:
        raise GanverseError(f"expected a checkpoint of the inverse stage at {path}, got: {brief(error)}") from error
    return _model(both.eval().requires_grad_(False), card, device)


def _empty(card: InverseCard) -> nn.ModuleDict:
    network, cameras = (
        InverseGraphicsNetwork(card.config),
        CameraTable([0.0] * card.views, learn_offset=card.learn_offset),
    )
    return nn.ModuleDict({"network": network, "cameras": cameras})


def _model(both: nn.ModuleDict, card: InverseCard, device: torch.device | str) -> InverseModel:
    network, cameras = both.to(device).children()
    assert isinstance(network, InverseGraphicsNetwork)
    assert isinstance(cameras, CameraTable)
    return InverseModel(network, cameras, card)


def _card(facts: Mapping[str, Any]) -> InverseCard:
    return InverseCard(**{**facts, "config": _config(facts["config"])})


def _config(facts: Mapping[str, Any]) -> InverseNetworkConfig:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
    return InverseNetworkConfig(**values)
