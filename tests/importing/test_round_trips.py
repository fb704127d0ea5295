"""Every format: what goes into a file comes out bit for bit, and paints the same picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganverse import cli
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganverse.generators.weights import GeneratorCard, load_generator, save_generator
from tests.importing_toys import (
    ada_content,
    ada_names,
    foreign_modules,
    pickled,
    port_names,
    rosinality_content,
    stylegan1,
    stylegan2,
    tensorflow1,
    tensorflow2,
    torch_saved,
)

__all__ = ["foreign_modules"]

Writer = Callable[[Any], bytes]

WHOLE: dict[str, tuple[Callable[[], Any], Writer]] = {
    **{
        f"ada, protocol {protocol}": (stylegan2, lambda g, p=protocol: pickled(ada_content(ada_names(g)), p))
        for protocol in (2, 3, 4, 5)
    },
    "ada, residual": (
        lambda: stylegan2(branches="residual"),
        lambda g: pickled(ada_content(ada_names(g), architecture="resnet")),
    ),
    "ada, half precision": (
        lambda: stylegan2(clamp=0.5, half_resolutions=2),
        lambda g: pickled(ada_content(ada_names(g), conv_clamp=0.5, num_fp16_res=2, channel_base=32768)),
    ),
    "ada, only G_ema": (
        stylegan2,
        lambda g: pickled({"G_ema": ada_content(ada_names(g))["G_ema"]}),
    ),
    "rosinality, converted": (stylegan2, lambda g: torch_saved(rosinality_content(g, training=False))),
    "rosinality, of old": (stylegan2, lambda g: torch_saved(rosinality_content(g, training=False), zipped=False)),
    **{
        f"TensorFlow StyleGAN2, protocol {protocol}": (stylegan2, lambda g, p=protocol: pickled(tensorflow2(g), p))
        for protocol in (2, 3, 4, 5)
    },
    "TensorFlow StyleGAN2, residual": (lambda: stylegan2(branches="residual"), lambda g: pickled(tensorflow2(g))),
    "TensorFlow StyleGAN1": (stylegan1, lambda g: pickled(tensorflow1(g, label_size=0, fused_scale="auto"))),
}
"""Formats that keep everything, the average of w and the noise included."""


def imported(data: bytes, folder: Path, *options: str, name: str = "cars.pkl") -> tuple[Any, GeneratorCard]:
    """What `ganverse import-gan` makes of a file."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    assert cli.main(["import-gan", str(folder / name), "-o", str(folder / "out"), *options]) == 0
    return load_generator(folder / "out" / f"{Path(name).stem}.safetensors")


def picture(generator: ImageGenerator) -> torch.Tensor:
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(5))
    return generator.synthesize(generator.styles(generator.map(z)))


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.usefixtures("foreign_modules")
def test_weights_are_the_same_bit_for_bit(kind: str, tmp_path: Path) -> None:
    make, write = WHOLE[kind]
    generator = make()
    data = write(generator)
    read, card = imported(data, tmp_path)
    assert read.config == generator.config
    assert read.state_dict().keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name
    assert (picture(read) - picture(generator)).abs().max() < 1e-5
    assert picture(read).std() > 0.05
    assert card.source == "cars.pkl"
    assert card.source_sha256 == hashlib.sha256(data).hexdigest()
    assert "license of those who trained them" in card.license
    assert isinstance(read, ImageGenerator)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cars.json", "cars.safetensors"]


@pytest.mark.usefixtures("foreign_modules")
def test_half_precision_numbers_are_widened(tmp_path: Path) -> None:
    generator = stylegan2()
    data = pickled(ada_content({name: tensor.half() for name, tensor in ada_names(generator).items()}))
    read, _ = imported(data, tmp_path)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name


@pytest.mark.parametrize("zipped", [True, False])
def test_training_checkpoints_of_rosinality(tmp_path: Path, zipped: bool) -> None:
    generator = stylegan2()
    read, card = imported(torch_saved(rosinality_content(generator, training=True), zipped=zipped), tmp_path)
    for name, tensor in generator.state_dict().items():
        if name != "w_average":
            assert torch.equal(read.state_dict()[name], tensor), name
    z = torch.randn(20_000, 6)
    assert (read.w_average - generator.map(z).mean(dim=0)).abs().max() < 0.05 * generator.map(z).std()
    assert "estimated" in card.notes


@pytest.mark.parametrize("zipped", [True, False])
def test_ports_of_stylegan1(tmp_path: Path, zipped: bool) -> None:
    generator = stylegan1()
    np.save(tmp_path / "avg_latent.npy", generator.w_average[None].numpy())
    data = torch_saved(port_names(generator), zipped=zipped)
    average = str(tmp_path / "avg_latent.npy")
    read, card = imported(data, tmp_path, "--average", average, "--noise", "none", name="g_all.pt")
    for name, tensor in generator.state_dict().items():
        if not name.startswith("noise_"):
            assert torch.equal(read.state_dict()[name], tensor), name
    generator.config = read.config
    assert (picture(read) - picture(generator)).abs().max() < 1e-5
    assert card.notes == "StyleGAN1, PyTorch port; noise planes drawn with seed 0"


def test_generators_of_ours(tmp_path: Path) -> None:
    generator = StyleGAN2Generator(
        StyleGAN2Config(resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channels=(4, 4), view_layers=1)
    )
    path = tmp_path / "toy.safetensors"
    before = save_generator(generator, path, GeneratorCard(generator.config, "MIT", "toys", 3, 64))
    assert cli.main(["import-gan", str(path), "-o", str(tmp_path / "out")]) == 0
    read, card = load_generator(tmp_path / "out" / "toy.safetensors")
    assert torch.equal(picture(read), picture(generator))
    assert (card.license, card.seed, card.source_sha256) == ("MIT", 3, before.sha256)


@pytest.mark.usefixtures("foreign_modules")
def test_the_name_of_the_file_says_nothing(tmp_path: Path) -> None:
    read, _ = imported(pickled(tensorflow1(stylegan1())), tmp_path, name="network.safetensors")
    assert read.config.noise == "constant"
    card = json.loads((tmp_path / "out" / "network.json").read_text())
    assert card["architecture"] == "stylegan1"


@pytest.mark.usefixtures("foreign_modules")
def test_options_reach_the_card(tmp_path: Path) -> None:
    options = ("--crop", "16x12", "--noise", "random", "--truncation", "0.7", "--view-layers", "2", "--license", "mine")
    read, card = imported(pickled(ada_content(ada_names(stylegan2()))), tmp_path, *options)
    assert picture(read).shape == (2, 3, 12, 16)
    assert read.noise_shapes == ((4, 4), (8, 8), (8, 8), (16, 16), (16, 16))
    assert (read.config.truncation, read.view_layers, card.license) == (0.7, 2, "mine")
