"""Networks of a few thousand numbers and counts of two or three, for the tests of whole protocols."""

from __future__ import annotations

from pathlib import Path

import torch

from ganverse.data.sources import Source, SourceSettings
from ganverse.evaluation.alignment import Alignment
from ganverse.evaluation.control import Studio
from ganverse.evaluation.models import ModelPaths, Models, world_source
from ganverse.evaluation.settings import EvaluationSettings
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, save_generator
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.weights import InverseCard, InverseModel, save_inverse
from ganverse.masks.segmenter import Segmenter, SegmenterNetwork
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.viewpoints.pose_regressor import PoseRegressor
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims

VIEWS = 12
TINY_SETTINGS = EvaluationSettings(
    held_out_objects=2,
    unseen_views=1,
    world_objects=2,
    calibration_objects=2,
    identity_objects=2,
    control_objects=2,
    control_azimuths=3,
    quality_images=4,
    edited_pictures=2,
    edit_steps=2,
    figure_objects=2,
    batch=2,
    device="cpu",
)
_NETWORK = InverseNetworkConfig(
    resolution=32, subdivisions=1, channels=(8, 16), latent=16, texture_size=16, texture_channels=(8, 8)
)


def tiny_inverse(generator: str = "car-world", seed: int = 0) -> InverseModel:
    """An untrained network, so an ellipsoid of a car's size, and cameras at the right azimuths."""
    torch.manual_seed(seed)
    azimuths = [30.0 * view for view in range(VIEWS)]
    cameras = CameraTable(azimuths, elevation_degrees=12.0, distance=3.2)
    network = InverseGraphicsNetwork(_NETWORK)
    card = InverseCard(generator, "", images_seen=0, seed=seed, views=VIEWS)
    return InverseModel(network.eval().requires_grad_(False), cameras.requires_grad_(False), card)


def tiny_world() -> Source:
    return world_source(tiny_inverse())


def tiny_gan() -> StyleGAN2Generator:
    torch.manual_seed(1)
    config = StyleGAN2Config(resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channels=(8, 8, 8, 8), view_layers=2)
    return StyleGAN2Generator(config).eval().requires_grad_(False)


def tiny_codes(generator: StyleGAN2Generator) -> ViewCodes:
    dims = layer_dims(generator.style_sizes, generator.view_layers)
    return ViewCodes("tiny", dims, tuple(ViewCode(seed, 30.0 * seed) for seed in range(VIEWS)))


def tiny_source() -> Source:
    torch.manual_seed(2)
    generator = tiny_gan()
    segmenter = Segmenter(SegmenterNetwork((4, 4, 4, 4)), working_size=32).eval()
    return Source(SourceSettings(), "tiny", generator, "", tiny_codes(generator), segmenter)


def tiny_renderer(generator: StyleGAN2Generator, codes: ViewCodes, model: InverseModel) -> StyleGANR:
    torch.manual_seed(3)
    renderer = StyleGANR(
        generator,
        codes.view_dims,
        vertices=model.network.template.vertices.shape[1],
        texture_size=model.network.config.texture_size,
        settings=MappingSettings(camera_width=8, width=8, channels=4),
    )
    return renderer.eval().requires_grad_(False)


def tiny_models() -> Models:
    """All parts of an evaluation."""
    source, model = tiny_source(), tiny_inverse("tiny")
    assert isinstance(source.generator, StyleGAN2Generator)
    return Models(
        gan=source,
        inverse=model,
        oracle=tiny_inverse(seed=4),
        renderer=tiny_renderer(source.generator, source.codes, model),
        pose=PoseRegressor().eval(),
    )


def tiny_studio() -> Studio:
    models = tiny_models()
    assert models.gan is not None
    assert models.inverse is not None
    assert models.gan.masker is not None
    assert models.renderer is not None
    assert models.pose is not None
    return Studio(models.renderer, models.gan, models.inverse, models.pose, models.gan.masker, Alignment())


def save_everything(folder: Path, *, views: int = VIEWS, trained_on: str = "") -> ModelPaths:
    """A generator with its codes, a network on it and an oracle."""
    generator, model = tiny_gan(), tiny_inverse()
    gan, network, oracle = (folder / f"{name}.safetensors" for name in ("gan", "inverse", "oracle"))
    card = save_generator(generator, gan, GeneratorCard(generator.config, "Apache-2.0", "tests", 0, 7))
    codes = tiny_codes(generator)
    ViewCodes(card.sha256, codes.view_dims, codes.codes).save(folder / "gan-views.yaml")
    table = CameraTable([0.0] * views, distance=3.0)
    save_inverse(model.network, table, network, InverseCard("gan", trained_on or card.sha256, 5, 0))
    save_inverse(model.network, model.cameras, oracle, InverseCard("car-world", "", 9, 0))
    return ModelPaths(SourceSettings(str(gan)), network, oracle)
