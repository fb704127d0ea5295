"""A GAN small enough to train in a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ganverse.generators.stylegan2 import StyleGAN2Config
from ganverse.tasks.image_gan import GrowthStage, ImageGANSettings, ImageGANTask

ARCHITECTURE = StyleGAN2Config(resolution=16, z_dim=6, w_dim=6, mapping_layers=2, channels=(8, 6, 4), view_layers=2)
STAGES = (GrowthStage(8, 16, r1_gamma=0.1, fade_images=0), GrowthStage(16, 100, r1_gamma=0.3, fade_images=24))
BATCH = 8


def toy_task(batch: int = BATCH) -> ImageGANTask:
    """The same weights on every call. The first stage lasts two batches of 8, R1 comes every second one."""
    torch.manual_seed(0)
    task = ImageGANTask(ARCHITECTURE, ImageGANSettings(STAGES, batch=batch, r1_interval=2, average_half_life=50.0))
    for block in task.generator.blocks:
        torch.nn.init.constant_(block.conv1.noise_strength, 0.3)
    task.generator_average.load_state_dict(task.generator.state_dict())
    return task


def toy_images(path: Path) -> Path:
    """A cache of 20 smooth random images of 16 px."""
    coarse = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    np.save(path, coarse.repeat(4, axis=2).repeat(4, axis=3))
    return path


def differences(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> Iterator[tuple[str, float]]:
    """Largest absolute difference of each tensor."""
    for name, tensor in a.items():
        yield name, float((tensor.double() - b[name].double()).abs().max())
