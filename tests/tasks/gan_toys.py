"""A GAN small enough to train in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganverse.data.world_images import WorldImages
from ganverse.generators.stylegan2 import StyleGAN2Config
from ganverse.tasks.image_gan import GrowthStage, ImageGAN
from ganverse.viewpoints.consistency import ConsistencySettings

ARCHITECTURE = StyleGAN2Config(resolution=16, z_dim=6, w_dim=6, mapping_layers=2, channels=(8, 6, 4), view_layers=2)
STAGES = (GrowthStage(8, 16, r1_gamma=0.1, fade_images=0), GrowthStage(16, 100, r1_gamma=0.3, fade_images=24))
BATCH, COUNT = 8, 20


def module(**settings: Any) -> ImageGAN:
    """The same weights on every call. The first stage lasts two batches of 8; every other has R1 and consistency."""
    torch.manual_seed(0)
    term = ConsistencySettings(interval=2)
    own = {"images": 1000, "stages": STAGES, "r1_interval": 2, "average_half_life": 50.0, "consistency": term}
    made = ImageGAN(ARCHITECTURE, **(own | settings))
    for block in made.generator.blocks:
        torch.nn.init.constant_(block.conv1.noise_strength, 0.3)
    made.generator_average.load_state_dict(made.generator.state_dict())
    return made


def images(path: Path, batch_size: int = BATCH) -> WorldImages:
    """Smooth random images of 16 px, in a file where rendered ones would be."""
    coarse = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 4, 4), dtype=np.uint8)
    np.save(path, coarse.repeat(4, axis=2).repeat(4, axis=3))
    return WorldImages(path, images=COUNT, resolution=16, batch_size=batch_size, validation_images=0)
