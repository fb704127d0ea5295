"""A tiny car GAN on disk and the flags that shrink every stage to seconds."""

from __future__ import annotations

from pathlib import Path

import torch

from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

SIZE = 32
GAN = StyleGAN2Config(resolution=SIZE, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8, 8), view_layers=2)
VIEWS = 12

TRAINER = [
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.threads=1",
    "--trainer.progress=lines",
    "--trainer.log_every=1",
]
DATA = ["--data.batch=2", "--data.sampling.attempts=1", "--data.sampling.block=4"]
GENERATE = ["samples=3", "per_shard=2", "contents=2"]
NETWORK = [
    f"network.resolution={SIZE}",
    "network.subdivisions=1",
    "network.channels=[8,8]",
    "network.latent=16",
    "network.texture_size=16",
    "network.texture_channels=[8,8]",
]
INVERSE = [
    *NETWORK,
    "schedule.images=8",
    "schedule.perceptual_renders=1",
    "schedule.perceptual_stages=1",
    "half_life=8",
]
DISENTANGLE = [
    "mapping.width=8",
    "mapping.camera_width=8",
    "mapping.channels=4",
    "schedule.warm_up_images=8",
    "schedule.fine_tune_images=4",
    "schedule.calibration_images=8",
    "schedule.found_views.candidates=6",
    "schedule.found_views.objects=2",
    "schedule.found_views.steps=2",
    "schedule.found_views.worst=10",
    "losses.distill_perceptual=0.0",
    "half_life=8",
]
EVALUATION = [
    "evaluation.held_out_objects=4",
    "evaluation.unseen_views=1",
    "evaluation.world_objects=4",
    "evaluation.calibration_objects=4",
    "evaluation.identity_objects=2",
    "evaluation.control_objects=2",
    "evaluation.control_azimuths=2",
    "evaluation.quality_images=4",
    "evaluation.edited_pictures=2",
    "evaluation.edit_steps=2",
    "evaluation.voxels=16",
    "evaluation.surface_samples=64",
    "evaluation.surface_queries=32",
    "evaluation.figure_objects=2",
    "evaluation.batch=4",
]
TINY_GAN = [
    "world={images: 8, resolution: 8}",
    "images=8",
    "architecture={resolution: 8, z_dim: 4, w_dim: 4, mapping_layers: 1, channels: [4, 4], view_layers: 2}",
    "settings.stages=[{resolution: 8, images: 8, r1_gamma: 0.1, fade_images: 0}]",
    "settings.batch=4",
]
BY_STAGE = {"gan": TINY_GAN, "generate": GENERATE, "inverse": INVERSE, "disentangle": DISENTANGLE, "report": EVALUATION}


def flags(settings: list[str], stage: str = "") -> list[str]:
    """`a=1` to `--a=1`, below the name of a stage if one is given."""
    return [f"--{stage}.{setting}" if stage else f"--{setting}" for setting in settings]


def save_gan(folder: Path, seed: int = 0) -> Path:
    """A GAN with random weights and its view codes all round."""
    torch.manual_seed(seed)
    path = folder / "toy.safetensors"
    card = save_generator(StyleGAN2Generator(GAN), path, GeneratorCard(GAN, "Apache-2.0", "nothing", seed, 0))
    generator = StyleGAN2Generator(GAN)
    dims = layer_dims(generator.style_sizes, GAN.view_layers)
    codes = tuple(ViewCode(k, 360.0 / VIEWS * k) for k in range(VIEWS))
    ViewCodes(card.sha256, dims, codes).save(folder / "toy-views.yaml")
    return path


def data_flags(generator: Path | str) -> list[str]:
    """The data of a stage, small."""
    return [f"--data.generator={generator}", *DATA]


def stage_flags(stage: str, run: Path, generator: Path | str) -> list[str]:
    """One stage, small, into `run`."""
    own = [] if stage == "gan" else data_flags(generator)
    return [f"--run={run}", *own, *flags(BY_STAGE[stage]), *TRAINER]


def pipeline_flags(run: Path, generator: Path | str) -> list[str]:
    """All stages, small, into `run`."""
    stages = ("generate", "inverse", "disentangle", "report")
    settings = [flag for stage in stages for flag in flags(BY_STAGE[stage], stage)]
    return [f"--run={run}", *data_flags(generator), *settings, *TRAINER]
