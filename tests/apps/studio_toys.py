"""A studio of networks of a few thousand numbers, and a photo that the car segmenter understands."""

from __future__ import annotations

import io

import torch
from PIL import Image

from ganverse.apps.stage import SAMPLING, Stage
from ganverse.data.sampling import MultiViewSampler
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.masks.segmenter import Segmenter
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.evaluation.tiny_models import tiny_inverse, tiny_renderer, tiny_source


def make_stage(*, neural: bool = True, objects: int = 3) -> Stage:
    torch.manual_seed(5)
    source, model = tiny_source(), tiny_inverse("tiny")
    model.network.shape.weight.data.normal_(std=0.3)
    model.network.camera.linear.weight.data.normal_(std=0.1)
    assert isinstance(source.generator, StyleGAN2Generator)
    renderer = tiny_renderer(source.generator, source.codes, tiny_inverse("tiny")) if neural else None
    sampler = MultiViewSampler(source.generator, source.codes, source.masker, SAMPLING)
    stage = Stage(model, sampler, Segmenter.from_pretrained(), renderer)
    for _ in range(objects):
        stage.sample()
    return stage


def photo_file(kind: str = "PNG") -> bytes:
    """A car of the world in a wider picture."""
    _, images, _ = world_samples(0, torch.tensor([3]), CarWorldGenerator(96))
    wide = torch.cat([images, images[:, :, :, -1:].expand(-1, -1, -1, 60)], dim=3)
    file = io.BytesIO()
    Image.fromarray((wide[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(file, kind)
    return file.getvalue()
