"""A tiny generator, frozen networks and samples: enough to see whether a control or a loss moves what it should."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.batch import MultiViewBatch
from ganverse.geometry.cameras import Cameras
from ganverse.inverse.camera_table import CameraTable
from ganverse.inverse.network import InverseGraphicsNetwork, InverseNetworkConfig
from ganverse.inverse.perceptual import PerceptualDistance
from ganverse.masks.segmenter import Segmenter, SegmenterNetwork
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes
from ganverse.neural_renderer.training_scenes import FrozenNetworks
from ganverse.viewpoints.view_codes import ViewCode, ViewCodes, mix_styles, view_styles

VERTICES = 6
TEXTURE = 8
VIEW_DIMS = (0, 3)
SETTINGS = MappingSettings(camera_width=16, width=24, channels=4)
CODES = ViewCodes("toy", VIEW_DIMS, tuple(ViewCode(i, 90.0 * i) for i in range(4)))
NETWORK = InverseNetworkConfig(
    resolution=16, subdivisions=1, unshuffle=2, channels=(8, 8), latent=16, texture_size=16, texture_channels=(8, 8)
)


class ToyGenerator(nn.Module):
    """`ImageGenerator`: two layers of 4 and 5 styles, one deconvolution of w* to 16 px."""

    resolution = 16
    image_size = (16, 16)
    z_dim = 4
    style_sizes = (4, 5)
    view_layers = 1
    noise_shapes: tuple[tuple[int, int], ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Linear(4, 4)
        self.affine = nn.Linear(4, 9)
        self.paint = nn.Linear(9, 3 * 16 * 16)

    def map(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch w"]:
        return self.mapping(z)

    def styles(self, w: Float[Tensor, "batch w"] | Float[Tensor, "batch layers w"]) -> Float[Tensor, "batch styles"]:
        return self.affine(w)

    def synthesize(
        self, styles: Float[Tensor, "batch styles"], noise: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "batch 3 height width"]:
        return self.paint(styles).unflatten(1, (3, 16, 16)).sigmoid()


def toy_renderer(seed: int = 0) -> StyleGANR:
    torch.manual_seed(seed)
    return StyleGANR(ToyGenerator(), VIEW_DIMS, vertices=VERTICES, texture_size=TEXTURE, settings=SETTINGS)


def toy_cameras(count: int) -> Cameras:
    azimuth = torch.arange(count) * (360.0 / count)
    return Cameras.from_degrees(azimuth, torch.linspace(0, 20, count), torch.linspace(4.0, 5.0, count))


def toy_scenes(count: int, seed: int = 0) -> Scenes:
    source = torch.Generator().manual_seed(seed)
    return Scenes(
        toy_cameras(count),
        torch.randn(count, VERTICES, 3, generator=source),
        torch.rand(count, 3, TEXTURE, TEXTURE, generator=source),
        torch.rand(count, 3, 16, 16, generator=source),
    )


class PlainDistance(PerceptualDistance):
    """Stands in for LPIPS, which wants larger pictures."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(
        self, first: Float[Tensor, "batch 3 height width"], second: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        return (first - second).square().mean(dim=(1, 2, 3))


def toy_networks(seed: int = 1) -> FrozenNetworks:
    torch.manual_seed(seed)
    inverse = InverseGraphicsNetwork(NETWORK)
    inverse.shape.weight.data.normal_(std=0.1)
    inverse.camera.linear.weight.data.normal_(std=0.1)  # an untrained head predicts the same camera for every picture
    segmenter = Segmenter(SegmenterNetwork((4, 4, 4, 4)), working_size=16)
    segmenter.network.leave[0].bias.data.fill_(-2.0)  # some background must be left
    return FrozenNetworks(inverse, CameraTable([0.0, 90.0, 180.0, 270.0]), segmenter, PlainDistance())


def toy_trainee(networks: FrozenNetworks, seed: int = 0) -> StyleGANR:
    """A StyleGAN-R that fits the networks."""
    torch.manual_seed(seed)
    vertices = networks.inverse.template.vertices.shape[1]
    return StyleGANR(ToyGenerator(), VIEW_DIMS, vertices=vertices, texture_size=16, settings=SETTINGS)


def toy_batch(generator: ToyGenerator, networks: FrozenNetworks, objects: int = 4, seed: int = 0) -> MultiViewBatch:
    """Two views of every object."""
    source = torch.Generator().manual_seed(seed)
    content = generator.styles(generator.map(torch.randn(objects, 4, generator=source))).detach()
    view_ids = torch.stack([torch.randperm(4, generator=source)[:2] for _ in range(objects)])
    views = view_styles(generator, CODES)[view_ids.flatten()]
    styles = mix_styles(content.repeat_interleave(2, dim=0), views, VIEW_DIMS)
    images = generator.synthesize(styles).detach()
    masks = networks.segmenter.probability(images).detach()
    return MultiViewBatch(
        images=images.unflatten(0, (objects, 2)),
        masks=masks.unflatten(0, (objects, 2)),
        view_ids=view_ids,
        sample_index=torch.arange(objects),
        styles=styles.unflatten(0, (objects, 2)),
    )
