"""A studio of networks of a few thousand numbers, and a photo that the car segmenter understands."""

from __future__ import annotations

import io

import torch
from PIL import Image

from ganverse.apps.gallery import Gallery
from ganverse.apps.stage import Stage
from ganverse.generators.stylegan2 import StyleGAN2Generator
from ganverse.masks.segmenter import Segmenter
from ganverse.worlds.generator import CarWorldGenerator, world_samples
from tests.evaluation.tiny_models import tiny_inverse, tiny_renderer, tiny_source


def make_gallery(objects: int = 0) -> Gallery:
    torch.manual_seed(5)
    model = tiny_inverse("tiny")
    model.network.shape.weight.data.normal_(std=0.3)
    model.network.camera.linear.weight.data.normal_(std=0.1)
    gallery = Gallery(model.network, tiny_source(), Segmenter.from_pretrained())
    for _ in range(objects):
        gallery.sample()
    return gallery


def make_stage(*, neural: bool = True, objects: int = 3) -> Stage:
    gallery = make_gallery(objects)
    source, model = tiny_source(), tiny_inverse("tiny")
    assert isinstance(source.generator, StyleGAN2Generator)
    renderer = tiny_renderer(source.generator, source.codes, model) if neural else None
    return Stage(model, gallery, renderer)


def photo_file(kind: str = "PNG") -> bytes:
    """A car of the world in a wider picture."""
    _, images, _ = world_samples(0, torch.tensor([3]), CarWorldGenerator(96))
    wide = torch.cat([images, images[:, :, :, -1:].expand(-1, -1, -1, 60)], dim=3)
    file = io.BytesIO()
    Image.fromarray((wide[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(file, kind)
    return file.getvalue()
