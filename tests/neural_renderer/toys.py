"""A tiny generator whose picture is a colored disc: enough to see whether a control moves what it should."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganverse.geometry.cameras import Cameras
from ganverse.neural_renderer.mapping import MappingSettings
from ganverse.neural_renderer.renderer import StyleGANR
from ganverse.neural_renderer.scenes import Scenes

VERTICES = 6
TEXTURE = 8
VIEW_DIMS = (0, 3)
SETTINGS = MappingSettings(camera_width=16, width=24, channels=4)


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
