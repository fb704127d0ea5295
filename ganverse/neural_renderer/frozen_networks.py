"""The frozen networks that StyleGAN-R is trained with; neither in its checkpoints nor among its parameters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from ganverse.generators.protocol import ImageGenerator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter


@dataclass(frozen=True)
class FrozenNetworks:
    """Trained networks of the earlier stages, frozen and in evaluation mode from here on.

    inverse, cameras: of the inverse stage. segmenter: images to masks. perceptual: None if no loss needs it. generator:
    the GAN as it was, if it is a network. A plain dataclass, so a LightningModule that holds it registers none of them.
    """

    inverse: InverseGraphicsNetwork
    cameras: CameraTable
    segmenter: Segmenter
    perceptual: PerceptualDistance | None = None
    generator: ImageGenerator | None = None

    def __deepcopy__(self, memo: object) -> FrozenNetworks:
        """Itself: averages and copies of a module share the frozen networks."""
        return self

    def __post_init__(self) -> None:
        for network in self.networks():
            network.requires_grad_(False).eval()

    def networks(self) -> list[nn.Module]:
        """Those that are there."""
        everything = (self.inverse, self.cameras, self.segmenter, self.perceptual, self.generator)
        return [network for network in everything if isinstance(network, nn.Module)]

    def to(self, device: torch.device | str) -> FrozenNetworks:
        """Move them, in place."""
        for network in self.networks():
            network.to(device)
        return self

    def fingerprints(self) -> dict[str, str]:
        """sha256 of the weights of f, its cameras and the segmenter, for checkpoints to name."""
        named = {"inverse": self.inverse, "cameras": self.cameras, "segmenter": self.segmenter}
        return {name: fingerprint(network) for name, network in named.items()}


def fingerprint(network: nn.Module) -> str:
    """sha256 over names and values of all weights, wherever they lie and however they were saved."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
