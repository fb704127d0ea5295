import pytest
import torch

from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator


@pytest.fixture
def directed() -> SubspaceGenerator:
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
    )
    read = torch.randn(sum(generator.style_sizes), 2)
    write = torch.linalg.pinv(read).T
    return SubspaceGenerator(generator, read, write).eval()


def test_it_is_an_image_generator_and_paints_what_the_one_inside_paints(directed: SubspaceGenerator) -> None:
    assert isinstance(directed, ImageGenerator)
    w = directed.map(torch.randn(3, 4))
    styles, plain = directed.styles(w), directed.generator.styles(w)
    assert styles.shape[1] == sum(directed.style_sizes) == plain.shape[1] + 2
    assert torch.allclose(directed.synthesize(styles), directed.generator.synthesize(plain), atol=1e-5)
    assert torch.allclose(styles[:, 2:] @ directed.read, torch.zeros(3, 2), atol=1e-5)
    assert directed.noise_shapes == directed.generator.noise_shapes


def test_the_view_coordinates_win_over_the_styles(directed: SubspaceGenerator) -> None:
    styles = directed.styles(directed.map(torch.randn(3, 4)))
    view = torch.randn(3, 2)
    plain = directed.plain_styles(torch.cat([view, styles[:, 2:]], dim=1))
    assert torch.allclose(plain @ directed.read, view, atol=1e-5)
    other = torch.cat([view, plain + torch.randn(3, 2) @ directed.write.T], dim=1)
    assert torch.allclose(directed.plain_styles(other), plain, atol=1e-4)


def test_directions_travel_with_the_weights(directed: SubspaceGenerator) -> None:
    assert {"read", "write"} <= set(directed.state_dict())
