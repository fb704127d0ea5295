"""A tiny car GAN on disk, and command lines of networks of a few thousand numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.masks.segmenter import SegmenterNetwork
from ganverse.pretrained import save_network
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

SIZE = 32
LICENSE = "CC BY-NC 4.0"
GAN = StyleGAN2Config(resolution=SIZE, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8, 8), view_layers=2)
VIEWS = 12

TRAINER = {
    "accelerator": "cpu",
    "devices": 1,
    "precision": "32-true",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
}
STREAM = {"batch_size": 2, "validation_objects": 2, "sampling.attempts": 1, "sampling.block": 4}
INVERSE = {
    "network.subdivisions": 1,
    "network.channels": [8, 8],
    "network.latent": 16,
    "network.texture_size": 16,
    "network.texture_channels": [8, 8],
    "images": 8,
    "perceptual.renders": 1,
    "perceptual.stages": 1,
    "ema_half_life": 8,
}
DISENTANGLE = {
    "mapping.width": 8,
    "mapping.camera_width": 8,
    "mapping.channels": 4,
    "settings.warm_up_images": 8,
    "settings.fine_tune_images": 4,
    "settings.calibration_images": 8,
    "settings.found_views.candidates": 6,
    "settings.found_views.objects": 2,
    "settings.found_views.steps": 2,
    "settings.found_views.worst": 10,
    "losses.distill_perceptual": 0.0,
    "ema_half_life": 8,
}
GENERATION = {"samples": 3, "per_file": 2}
IMAGE_GAN = {
    "images": 8,
    "architecture": {
        "resolution": 8,
        "z_dim": 4,
        "w_dim": 4,
        "mapping_layers": 1,
        "channels": [4, 4],
        "view_layers": 2,
        "noise": True,
    },
    "stages": [{"resolution": 8, "images": 8, "r1_gamma": 0.1, "fade_images": 0}],
}
WORLD_IMAGES = {"images": 8, "resolution": 8, "batch_size": 4, "validation_images": 4}
MODELS = {
    "ImageGAN": IMAGE_GAN,
    "DatasetGeneration": GENERATION,
    "InverseGraphics": INVERSE,
    "Disentanglement": DISENTANGLE,
}
EVALUATION = {
    "held_out_objects": 4,
    "unseen_views": 1,
    "world_objects": 4,
    "calibration_objects": 4,
    "identity_objects": 2,
    "control_objects": 2,
    "control_azimuths": 2,
    "quality_images": 4,
    "edited_pictures": 2,
    "edit_steps": 2,
    "figure_objects": 2,
    "batch": 4,
    "device": "cpu",
}


def flags(prefix: str, settings: dict[str, object]) -> list[str]:
    """Command-line flags below `prefix`."""
    return [f"--{prefix}.{name}={_text(value)}" for name, value in settings.items()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def shrunk(model: str, root: Path) -> list[str]:
    """Flags that make any configuration of a model and its data small, writing to `root`."""
    data = WORLD_IMAGES if model == "ImageGAN" else STREAM
    own = {"trainer": {**TRAINER, "default_root_dir": root}, "model": MODELS[model], "data": data}
    return [flag for prefix, settings in own.items() for flag in flags(prefix, settings)]


def command(model: str, root: Path, generator: Path | str, **model_settings: object) -> list[str]:
    """A whole small `fit` (`predict` for DatasetGeneration) into `root`, on the stream of `generator`."""
    name = "predict" if model == "DatasetGeneration" else "fit"
    own = {"output": root / "shards", **model_settings} if model == "DatasetGeneration" else model_settings
    data = ["--data=WorldImages", f"--data.cache={generator}"]
    if model != "ImageGAN":
        data = ["--data=MultiViewStream", f"--data.generator={generator}"]
    return [name, f"--model={model}", *data, *shrunk(model, root), *flags("model", own)]


def save_gan(folder: Path, seed: int = 0, config: StyleGAN2Config = GAN) -> Path:
    """A GAN with random weights and its view codes all round."""
    torch.manual_seed(seed)
    path = folder / "toy.safetensors"
    generator = StyleGAN2Generator(config)
    save_views(path, generator, save_generator(generator, path, GeneratorCard(config, LICENSE, "nothing", seed, 0)))
    return path


def save_views(path: Path, generator: ImageGenerator, card: GeneratorCard) -> None:
    """View codes all round for the generator at `path`."""
    dims = layer_dims(generator.style_sizes, generator.view_layers)
    codes = tuple(ViewCode(k, 360.0 / VIEWS * k) for k in range(VIEWS))
    ViewCodes(card.sha256, dims, codes).save(path.with_name(f"{path.stem}-views.yaml"))


def save_segmenter(path: Path) -> Path:
    """Random weights that find something in most of the images, and leave some background."""
    torch.manual_seed(4)
    network = SegmenterNetwork()
    network.sharpen[1].weight.data.mul_(20.0)
    save_network(network, path, {"network": "SegmenterNetwork", "working_size": SIZE}, half=False)
    return path


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as YAML has them."""
    made: dict[str, Any] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        inner = made
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = str(value) if isinstance(value, Path) else value
    return made


def fit(model: str, generator: Path | str, weights: str, **settings: Any) -> dict[str, Any]:
    """A small stage of a pipeline that trains and saves after every step."""
    data: dict[str, Any] = {"generator": generator, **STREAM}
    if model == "ImageGAN":
        data = {"cache": generator, **WORLD_IMAGES}
    return {
        "fit": {
            "weights": weights,
            "model": {"class_path": model, "init_args": nested({**MODELS[model], **settings})},
            "data": {
                "class_path": "WorldImages" if model == "ImageGAN" else "MultiViewStream",
                "init_args": nested(data),
            },
            "trainer": {**TRAINER, "limit_val_batches": 0},
            "checkpoint": {"train_time_interval": "0:00:00"},
        }
    }


def predict(generator: Path | str, **settings: Any) -> dict[str, Any]:
    """A small stage of a pipeline that writes samples."""
    own = {"output": "${run}/generate/shards", **GENERATION, **settings}
    return {
        "predict": {
            "model": {"class_path": "DatasetGeneration", "init_args": own},
            "data": {"class_path": "MultiViewStream", "init_args": nested({"generator": generator, **STREAM})},
            "trainer": dict(TRAINER),
        }
    }


def save_pipeline(folder: Path, stages: Mapping[str, Any]) -> Path:
    """A pipeline that runs in `folder`/run. (JSON is YAML.)"""
    path = folder / "pipeline.yaml"
    path.write_text(json.dumps({"run": str(folder / "run"), "stages": stages}))
    return path


def pipeline(folder: Path, generator: Path, *, images: int = 40, **trainer: Any) -> Path:
    """generate, inverse, disentangle and an evaluation of both."""
    reader = "${run}/inverse/inverse.safetensors"
    stages = {
        "generate": predict(generator),
        "inverse": fit("InverseGraphics", generator, "inverse.safetensors", images=images),
        "disentangle": fit("Disentanglement", generator, "stylegan-r.safetensors", inverse=reader),
        "report": {"evaluate": EVALUATION},
    }
    for stage in stages.values():
        for settings in stage.values():
            settings.get("trainer", {}).update(trainer)
    return save_pipeline(folder, stages)
