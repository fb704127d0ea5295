"""Every format: what goes into a file comes out bit for bit, and synthesizes the same image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ganverse import cli
from ganverse.generators.protocol import ImageGenerator
from ganverse.generators.weights import GeneratorCard, load_generator
from tests.importing_toys import (
    ada_content,
    ada_names,
    conditional,
    foreign_modules,
    pickled,
    port_names,
    rosinality_content,
    stylegan1,
    stylegan2,
    stylegan3,
    stylegan3_names,
    tensorflow1,
    tensorflow2,
    torch_saved,
)

__all__ = ["foreign_modules"]

Writer = Callable[[Any], bytes]

LARGE = {"resolution": 1024, "channels": (4, 3, 3, 2, 2, 2, 2, 2, 1)}


def rosinality(generator: Any, change: Callable[[dict[str, Any]], dict[str, Any]] = dict, **others: Any) -> bytes:
    content = rosinality_content(generator, training=False)
    return torch_saved({**content, "g_ema": change(content["g_ema"]), **others})


def wrapped(names: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{name}": tensor for name, tensor in names.items()}


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
        lambda: stylegan2(clamp=0.5),
        lambda g: pickled(ada_content(ada_names(g), conv_clamp=0.5, num_fp16_res=2, channel_base=32768)),
    ),
    "ada, only G_ema": (
        stylegan2,
        lambda g: pickled({"G_ema": ada_content(ada_names(g))["G_ema"]}),
    ),
    "ada, 1024 px": (lambda: stylegan2(**LARGE), lambda g: pickled(ada_content(ada_names(g)))),
    "StyleGAN2 of stylegan3": (
        lambda: stylegan2(clamp=0.5),
        lambda g: pickled(ada_content(ada_names(g), flat=True, conv_clamp=0.5, num_fp16_res=2, channel_max=512)),
    ),
    "StyleGAN2 of stylegan3, residual": (
        lambda: stylegan2(branches="residual"),
        lambda g: pickled(ada_content(ada_names(g), flat=True, architecture="resnet")),
    ),
    "StyleGAN3-t": (stylegan3, lambda g: pickled(ada_content(stylegan3_names(g), flat=True, magnitude_ema_beta=0.5))),
    "StyleGAN3-t, no clamp": (
        lambda: stylegan3(clamp=None),
        lambda g: pickled(ada_content(stylegan3_names(g), flat=True, conv_clamp=None, num_critical=2)),
    ),
    "StyleGAN3-r": (
        lambda: stylegan3(kernel=1, radial=True),
        lambda g: pickled(ada_content(stylegan3_names(g), flat=True, conv_kernel=1, use_radial_filters=True)),
    ),
    "rosinality, converted": (stylegan2, rosinality),
    "rosinality, old": (stylegan2, lambda g: torch_saved(rosinality_content(g, training=False), zipped=False)),
    "rosinality, 1024 px": (lambda: stylegan2(**LARGE), rosinality),
    "rosinality, average of shape [1, w]": (stylegan2, lambda g: rosinality(g, latent_avg=g.w_average[None])),
    "rosinality, average per layer": (stylegan2, lambda g: rosinality(g, latent_avg=g.w_average.repeat(6, 1))),
    "rosinality, DataParallel": (stylegan2, lambda g: rosinality(g, wrapped)),
    "rosinality, no kernels": (
        stylegan2,
        lambda g: rosinality(g, lambda names: {name: names[name] for name in names if not name.endswith("kernel")}),
    ),
    **{
        f"TensorFlow StyleGAN2, protocol {protocol}": (stylegan2, lambda g, p=protocol: pickled(tensorflow2(g), p))
        for protocol in (2, 3, 4, 5)
    },
    "TensorFlow StyleGAN2, residual": (lambda: stylegan2(branches="residual"), lambda g: pickled(tensorflow2(g))),
    "TensorFlow StyleGAN2-ADA": (
        lambda: stylegan2(clamp=0.5),
        lambda g: pickled(tensorflow2(g, conv_clamp=0.5, num_fp16_res=2)),
    ),
    "TensorFlow StyleGAN2, 1024 px": (lambda: stylegan2(**LARGE), lambda g: pickled(tensorflow2(g))),
    "TensorFlow StyleGAN1": (stylegan1, lambda g: pickled(tensorflow1(g, label_size=0, fused_scale="auto"))),
    "TensorFlow StyleGAN1, 1024 px": (lambda: stylegan1(**LARGE), lambda g: pickled(tensorflow1(g))),
}
"""Formats that keep everything, the average of w and the noise included."""


def imported(data: bytes, folder: Path, *options: str, name: str = "cars.pkl") -> tuple[Any, GeneratorCard]:
    """What `ganverse import-gan` makes of a file."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    assert cli.main(["import-gan", str(folder / name), "-o", str(folder / "out"), *options]) == 0
    return load_generator(folder / "out" / f"{Path(name).stem}.safetensors")


def image_of(generator: ImageGenerator) -> torch.Tensor:
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
    assert (image_of(read) - image_of(generator)).abs().max() < 1e-5
    assert image_of(read).std() > 0.05
    assert card.source == "cars.pkl"
    assert card.source_sha256 == hashlib.sha256(data).hexdigest()
    assert "license of those who trained them" in card.license
    assert isinstance(read, ImageGenerator)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cars.json", "cars.md", "cars.safetensors"]


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


def test_rosinality_without_noise(tmp_path: Path) -> None:
    generator = stylegan2()
    read, card = imported(
        rosinality(generator, lambda names: {k: names[k] for k in names if not k.startswith("noises")}), tmp_path
    )
    for name, tensor in generator.state_dict().items():
        if not name.startswith("noise_"):
            assert torch.equal(read.state_dict()[name], tensor), name
    assert "noise planes drawn with seed 0" in card.notes


@pytest.mark.parametrize("kind", ["StyleGAN2", "StyleGAN3"])
@pytest.mark.usefixtures("foreign_modules")
def test_one_class_of_a_conditional_generator(kind: str, tmp_path: Path) -> None:
    names = ada_names(stylegan2()) if kind == "StyleGAN2" else stylegan3_names(stylegan3())
    tensors = conditional(names, 3)
    read, card = imported(pickled(ada_content(tensors, c_dim=3)), tmp_path, "--class-index", "1")
    z = torch.randn(4, 6)
    label = tensors["mapping.embed.weight"][:, 1] / 3**0.5 + tensors["mapping.embed.bias"]
    w = torch.cat([normalized(z), normalized(label[None]).expand(4, -1)], dim=1)
    for k in (0, 1):
        weight, bias = tensors[f"mapping.fc{k}.weight"], tensors[f"mapping.fc{k}.bias"]
        w = 2**0.5 * F.leaky_relu(0.01 * (w @ weight.t() / w.shape[1] ** 0.5 + bias), 0.2)
    torch.testing.assert_close(read.map(z), w)
    average = read.map(torch.randn(20_000, 6)).mean(dim=0)
    assert (read.w_average - average).abs().max() < 0.05 * w.std()
    assert card.class_index == 1
    assert card.notes.endswith("class 1 of 3; average of w estimated from 10 000 latents")


def normalized(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


@pytest.mark.parametrize("zipped", [True, False])
def test_ports_of_stylegan1(tmp_path: Path, zipped: bool) -> None:
    generator = stylegan1(**(LARGE if zipped else {}))
    data = torch_saved(port_names(generator) if zipped else wrapped(port_names(generator)), zipped=zipped)
    read, card = imported(data, tmp_path, "--noise", "none", name="g_all.pt")
    for name, tensor in generator.state_dict().items():
        if not name.startswith(("noise_", "w_average")):
            assert torch.equal(read.state_dict()[name], tensor), name
    generator.config = read.config
    assert (image_of(read) - image_of(generator)).abs().max() < 1e-5
    assert (
        card.notes
        == "StyleGAN1, PyTorch port; average of w estimated from 10 000 latents; noise planes drawn with seed 0"
    )


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
    assert image_of(read).shape == (2, 3, 12, 16)
    assert read.noise_shapes == ((4, 4), (8, 8), (8, 8), (16, 16), (16, 16))
    assert (read.config.truncation, read.view_layers, card.license) == (0.7, 2, "mine")
