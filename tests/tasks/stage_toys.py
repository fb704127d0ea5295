"""Every training stage with networks of a few thousand numbers on the stream of a tiny random GAN."""

from __future__ import annotations

import torch

from ganverse.data.batch import MultiViewBatch
from ganverse.data.multi_view import MultiViewStream
from ganverse.data.sampling import MultiViewSampler, SamplingSettings
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.inverse.camera_survey import SurveyPlan
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.losses import InverseLossWeights
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter, SegmenterNetwork
from ganverse.neural_renderer.found_views import FoundViewSettings
from ganverse.neural_renderer.frozen_networks import FrozenNetworks
from ganverse.neural_renderer.objective import DisentangleWeights
from ganverse.neural_renderer.settings import DisentangleSettings
from ganverse.tasks.disentangle import DisentangleTask
from ganverse.tasks.inverse import InverseGraphicsTask, InverseSettings
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, layer_dims
from tests.neural_renderer.toys import SETTINGS

SIZE = 16
OBJECTS = 8
"""Of a step, over all processes; 16 pictures."""
GAN = StyleGAN2Config(resolution=SIZE, z_dim=8, w_dim=8, mapping_layers=1, channels=(8, 8, 8), view_layers=2)
NETWORK = InverseNetworkConfig(
    resolution=SIZE, subdivisions=1, unshuffle=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)
AZIMUTHS = (0.0, 90.0, 180.0, 270.0)


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS, which wants larger pictures."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).square().mean(dim=(1, 2, 3))


class DoubleStream(MultiViewStream):
    """The stream's batches in float64, so that the order of sums does not matter."""

    def on_after_batch_transfer(self, batch: torch.Tensor, dataloader_idx: int) -> MultiViewBatch:
        made = super().on_after_batch_transfer(batch, dataloader_idx)
        return MultiViewBatch(
            made.images.double(), made.masks.double(), made.view_ids, made.sample_index, made.styles.double()
        )


def generator_and_codes() -> tuple[StyleGAN2Generator, ViewCodes]:
    """The same on every call."""
    torch.manual_seed(3)
    generator = StyleGAN2Generator(GAN)
    views = tuple(ViewCode(seed, azimuth) for seed, azimuth in enumerate(AZIMUTHS))
    return generator, ViewCodes("tiny", layer_dims(generator.style_sizes, 2), views)


def segmenter() -> Segmenter:
    """Random weights that find something in every picture, and leave some background."""
    torch.manual_seed(4)
    made = Segmenter(SegmenterNetwork((4, 4, 4, 4)), working_size=SIZE)
    made.network.sharpen[1].weight.data.mul_(20.0)
    return made.eval()


def stream(batch: int) -> DoubleStream:
    """Samples 0, 1, ... of the tiny GAN."""
    generator, codes = generator_and_codes()
    settings = SamplingSettings(seed=1, attempts=1, block=4)
    return DoubleStream(MultiViewSampler(generator, codes, segmenter(), settings), batch)


def inverse_task(processes: int) -> InverseGraphicsTask:
    """All losses from the first step on; half of the renders are compared perceptually.

    A camera survey looks at the pictures of two steps and moves every camera to its best hypothesis before the third.
    """
    torch.manual_seed(0)
    settings = InverseSettings(
        images=1000,
        warm_up_images=0,
        perceptual_start=0.0,
        perceptual_renders=2 * OBJECTS // processes,
        survey=SurveyPlan(at=(0.0,), after=0, pictures_per_view=4 * OBJECTS // len(AZIMUTHS), turns=3, certainty=-1.0),
    )
    task = InverseGraphicsTask(CameraTable(AZIMUTHS), NETWORK, settings, InverseLossWeights(), PlainDistance())
    task.network.shape.weight.data.normal_(std=0.1)
    return task


def disentangle_task(processes: int) -> DisentangleTask:
    """Two steps of warm-up, then fine-tuning."""
    torch.manual_seed(1)
    inverse = InverseGraphicsNetwork(NETWORK)
    inverse.shape.weight.data.normal_(std=0.1)
    inverse.camera.linear.weight.data.normal_(std=0.1)
    inverse.texture.decoder.bias.data.normal_()
    networks = FrozenNetworks(inverse, CameraTable(AZIMUTHS), segmenter(), PlainDistance())
    # Without the spread, for which the frozen generator synthesizes in its own precision.
    settings = DisentangleSettings(
        warm_up_images=32,
        fine_tune_images=1000,
        calibration_images=8,
        keep_spread=0.0,
        found_views=FoundViewSettings(candidates=0),
    )
    generator, codes = generator_and_codes()
    task = DisentangleTask(generator, codes, networks, settings, DisentangleWeights(), SETTINGS)
    task._calibrate()
    task.calibrated.fill_(True)
    for network in networks.networks():
        network.double()
    return task
