"""A trained inverse graphics network with its cameras on disk: safetensors next to a JSON card that pins their hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from ganverse.errors import GanverseError, brief
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import DEFAULT_NETWORK, InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.io import write_atomically
from ganverse.pretrained import read_facts, read_pinned

ARCHITECTURE = "inverse-graphics"


@dataclass(frozen=True)
class InverseCard:
    """Facts about a network; `config`, `views` and `sha256` (of the file) are filled in when the weights are written.

    generator, generator_sha256: what it was trained on (no hash for the car world). images_seen: pictures of training.
    learn_offset: whether the cameras may shift the picture.
    """

    generator: str
    generator_sha256: str
    images_seen: int
    seed: int
    license: str = "Apache-2.0"
    notes: str = ""
    learn_offset: bool = True
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


def save_inverse(
    network: InverseGraphicsNetwork, cameras: CameraTable, path: Path, card: InverseCard, *, half: bool = False
) -> InverseCard:
    """Writes `path` (.safetensors) and its card; returns the card as written.

    half: store the network as float16. The cameras stay float32: a fifth of a degree would be lost.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        tensors[f"network.{name}"] = tensor.half() if half and tensor.is_floating_point() else tensor
    tensors.update({f"cameras.{name}": tensor for name, tensor in cameras.state_dict().items()})
    data = dump_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    written = replace(
        card,
        config=network.config,
        views=len(cameras),
        learn_offset=cameras.learn_offset,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(asdict(written), indent=2) + "\n").encode())
    return written


def read_inverse_card(path: Path) -> InverseCard:
    """The card of the weights at `path`; GanverseError if it is missing or of another kind."""
    facts = read_facts(path, ARCHITECTURE)
    try:
        config: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in facts.pop("config").items()
        }
        return InverseCard(**facts, config=InverseNetworkConfig(**config))
    except (KeyError, TypeError) as error:
        raise GanverseError(f"expected a whole card beside {path}, got {error}; export the weights again") from error


def load_inverse(path: Path, device: torch.device | str = "cpu") -> InverseModel:
    """Network and cameras in float32.

    Raises:
        GanverseError: a file is missing, or the weights are not those of the card.
    """
    card = read_inverse_card(path)
    data = read_pinned(path, card.sha256)
    network = InverseGraphicsNetwork(card.config)
    cameras = CameraTable([0.0] * card.views, learn_offset=card.learn_offset)
    try:
        tensors = load_tensors(data)
        network.load_state_dict(_below("network.", tensors))
        cameras.load_state_dict(_below("cameras.", tensors))
    except (SafetensorError, RuntimeError) as error:
        raise GanverseError(f"expected weights that fit the card of {path}, got others ({brief(error)})") from error
    network, cameras = network.to(device), cameras.to(device)
    return InverseModel(network.eval().requires_grad_(False), cameras.eval().requires_grad_(False), card)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
