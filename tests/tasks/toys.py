"""Every training with networks of a few thousand numbers, on the stream of a tiny GAN with random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from ganverse.data.multi_view import MultiViewStream
from ganverse.data.sampling import SamplingSettings
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.inverse.weights import InverseCard, save_inverse
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.objective import DisentangleWeights
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.tasks.disentanglement import Disentanglement
from ganverse.tasks.inverse_graphics import InverseGraphics, PerceptualSettings
from ganverse.training.cli import quieten
from tests.pipeline_toys import SIZE, VIEWS, save_gan, save_segmenter

Stream = TypeVar("Stream", bound=MultiViewStream)
AZIMUTHS = tuple(360.0 / VIEWS * view for view in range(VIEWS))
NETWORK = InverseNetworkConfig(
    resolution=SIZE, subdivisions=1, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)
MAPPING = MappingSettings(camera_width=8, width=8, channels=4)
SHORT = DisentangleSettings(
    warm_up_images=16, fine_tune_images=16, calibration_images=8, found_views=FoundViewSettings(candidates=0)
)


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS, in any precision."""

    def __init__(self, weights: str = "stlpips", stages: int = 5) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Files:
    """Weights on disk: a GAN with its views, a segmenter, an inverse network trained on that GAN."""

    generator: Path
    segmenter: Path
    inverse: Path


def save_files(folder: Path, seed: int = 1) -> Files:
    """All of them, with random weights."""
    generator, segmenter = save_gan(folder, seed), save_segmenter(folder / "any-segmenter.safetensors")
    torch.manual_seed(seed)
    return Files(generator, segmenter, save_inverse_network(folder / "inverse.safetensors", generator))


def save_inverse_network(path: Path, generator: Path) -> Path:
    """A network that predicts something else from every image."""
    network = InverseGraphicsNetwork(NETWORK)
    network.shape.weight.data.normal_(std=0.1)
    network.camera.linear.weight.data.normal_(std=0.1)
    network.texture.decoder.bias.data.normal_()
    sha256 = json.loads(generator.with_suffix(".json").read_text())["sha256"]
    save_inverse(network, CameraTable(AZIMUTHS), path, InverseCard("toy", sha256, images_seen=0, seed=0))
    return path


def stream(files: Files, batch_size: int = 2, kind: type[Stream] = MultiViewStream, **settings: Any) -> Stream:
    """Samples 0, 1, ... of the GAN."""
    own = {"validation_objects": 2, "sampling": SamplingSettings(seed=1, attempts=1, block=4), **settings}
    return kind(str(files.generator), segmenter=files.segmenter, batch_size=batch_size, **own)


def inverse(**settings: Any) -> InverseGraphics:
    """All losses from the first step on."""
    torch.manual_seed(0)
    own = {
        "network": NETWORK,
        "images": 64,
        "warm_up_images": 0,
        "perceptual": PerceptualSettings(start=0.0, renders=2, stages=1),
        "survey": SurveyPlan(at=()),
        "ema_half_life": 16.0,
        **settings,
    }
    return InverseGraphics(**own)


def disentanglement(
    files: Files, settings: DisentangleSettings = SHORT, kind: type[Disentanglement] = Disentanglement, **others: Any
) -> Disentanglement:
    """Two steps of each stage with batches of 8 images; the perceptual term is left out."""
    torch.manual_seed(0)
    own = {"losses": DisentangleWeights(distill_perceptual=0.0), "mapping": MAPPING, "ema_half_life": 8.0, **others}
    return kind(str(files.inverse), settings, **own)


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    """A quiet one on the CPU; it knows nothing of ganverse."""
    quieten()
    own = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": -1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
        **settings,
    }
    return pl.Trainer(**own)


def differences(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, float]:
    """Largest absolute difference of every tensor in which two state dicts differ."""
    assert first.keys() == second.keys()
    gaps = {name: (value.double() - second[name].double()).abs() for name, value in first.items() if value.numel()}
    return {name: float(gap.max()) for name, gap in gaps.items() if gap.max() > 0}
