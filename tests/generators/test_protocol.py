import pytest
import torch

from ganverse.generators.protocol import ImageGenerator, SubspaceGenerator, style_slices
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator


@pytest.fixture
def subspace() -> SubspaceGenerator:
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
    )
    read = torch.randn(sum(generator.style_sizes), 2)
    write = torch.linalg.pinv(read).T
    return SubspaceGenerator(generator, read, write).eval()


def test_it_is_an_image_generator_and_synthesizes_the_same_images(subspace: SubspaceGenerator) -> None:
    assert isinstance(subspace, ImageGenerator)
    w = subspace.map(torch.randn(3, 4))
    styles, plain = subspace.styles(w), subspace.generator.styles(w)
    assert styles.shape[1] == sum(subspace.style_sizes) == plain.shape[1] + 2
    assert torch.allclose(subspace.synthesize(styles), subspace.generator.synthesize(plain), atol=1e-5)
    assert torch.allclose(styles[:, 2:] @ subspace.read, torch.zeros(3, 2), atol=1e-5)
    assert subspace.noise_shapes == subspace.generator.noise_shapes


def test_the_view_coordinates_win_over_the_styles(subspace: SubspaceGenerator) -> None:
    styles = subspace.styles(subspace.map(torch.randn(3, 4)))
    view = torch.randn(3, 2)
    plain = subspace.plain_styles(torch.cat([view, styles[:, 2:]], dim=1))
    assert torch.allclose(plain @ subspace.read, view, atol=1e-5)
    other = torch.cat([view, plain + torch.randn(3, 2) @ subspace.write.T], dim=1)
    assert torch.allclose(subspace.plain_styles(other), plain, atol=1e-4)


def test_directions_travel_with_the_weights(subspace: SubspaceGenerator) -> None:
    assert {"read", "write"} <= set(subspace.state_dict())


def test_slices_follow_one_another() -> None:
    row = list(range(7))
    assert [row[piece] for piece in style_slices([3, 0, 2, 2])] == [[0, 1, 2], [], [3, 4], [5, 6]]
    assert style_slices([]) == []
