"""Inverse networks from wherever they are: packed weights, or a checkpoint in the middle of training."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from ganverse.errors import GanverseError
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, InverseModel, load_inverse
from ganverse.pretrained import CHECKPOINT, find_weights

_CONFIG = "config.yaml"


def open_inverse(source: str | Path, device: torch.device | str = "cpu") -> InverseModel:
    """Network and cameras behind `source` (see `find_weights`), frozen.

    Raises:
        GanverseError: there are none, or they are damaged or of another kind.
    """
    path = find_weights(source)
    return load_checkpoint(path, device) if path.suffix == CHECKPOINT else load_inverse(path, device)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> InverseModel:
    """The inverse network of a training checkpoint; its settings stand in the stage's config.yaml, a folder above.

    Nothing in the file is executed. Where training keeps a running average of the weights, that is what is loaded.

    Raises:
        GanverseError: the checkpoint or its settings are missing, damaged, or of another stage.
    """
    settings = _settings(path.parent.parent / _CONFIG)
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        network = InverseGraphicsNetwork(settings["network"])
        cameras = CameraTable([0.0] * len(state["cameras.azimuth"]), learn_offset=settings["learn_offset"])
        network.load_state_dict(_below("network.", state))
        cameras.load_state_dict(_below("cameras.", state))
    except (OSError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise GanverseError(f"expected a checkpoint of the inverse stage at {path}, got: {reason}") from error
    seen = int(state["images_seen"])
    card = InverseCard(settings["generator"], "", seen, settings["seed"], notes=f"checkpoint {path.name}")
    network, cameras = network.to(device), cameras.to(device)
    return InverseModel(network.eval().requires_grad_(False), cameras.eval().requires_grad_(False), card)


def _settings(path: Path) -> dict[str, Any]:
    """What the checkpoint's numbers belong to, out of the configuration of its run."""
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        network: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stored["network"].items()}
        return {
            "network": InverseNetworkConfig(**network),
            "learn_offset": stored["cameras"]["learn_offset"],
            "generator": stored["data"]["generator"],
            "seed": stored["seed"],
        }
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise GanverseError(
            f"expected {path}, the settings that a checkpoint was trained with, but they cannot be read ({error})"
        ) from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
