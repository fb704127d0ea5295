"""Small generators, and files that hold them in every format that can be imported.

Written with plain pickle and torch from public facts about the formats; the networks' names and layouts are spelled out
here once more, independently of `ganverse.importing`.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor

from ganverse.generators.stylegan1 import StyleGAN1Config, StyleGAN1Generator
from ganverse.generators.stylegan2_paper import PaperStyleGAN2Config, PaperStyleGAN2Generator
from ganverse.generators.stylegan3 import StyleGAN3Config, StyleGAN3Generator

SIZES: dict[str, Any] = {"resolution": 16, "z_dim": 6, "w_dim": 5, "mapping_layers": 2, "channels": (4, 3, 2)}
FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
FILTER1 = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16


def stylegan2(**changes: Any) -> PaperStyleGAN2Generator:
    return scrambled(PaperStyleGAN2Generator(PaperStyleGAN2Config(**{**SIZES, **changes})))


def stylegan1(**changes: Any) -> StyleGAN1Generator:
    return scrambled(StyleGAN1Generator(StyleGAN1Config(**{**SIZES, **changes})))


def stylegan3(**changes: Any) -> StyleGAN3Generator:
    sizes = {**SIZES, "resolution": 32, "channels": (6, 5, 4, 4, 3)}
    generator = scrambled(StyleGAN3Generator(StyleGAN3Config(**{**sizes, **changes})))
    for name, tensor in generator.named_buffers():
        if name.endswith("magnitude_ema"):
            tensor.abs_().add_(0.5)
        if name.endswith("_filter"):
            tensor.copy_(
                low_pass(len(tensor)) if tensor.dim() == 1 else low_pass(len(tensor)).outer(low_pass(len(tensor)))
            )
    generator.input.transform.copy_(torch.tensor([[0.8, 0.6, 0.02], [-0.6, 0.8, 0.05], [0.0, 0.0, 1.0]]))
    return generator


def low_pass(taps: int) -> Tensor:
    window = torch.hann_window(taps + 2, periodic=False)[1:-1]
    return window / window.sum()


def scrambled(generator: Any) -> Any:
    """Every weight differs from its initial value; in steps of 1/256, so that adding 1 to a bias loses no bit."""
    with torch.no_grad():
        for tensor in generator.state_dict().values():
            tensor.copy_((torch.randn_like(tensor) * 128).round() / 256)
    return generator.eval().requires_grad_(False)


class EasyDict(dict):
    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Network:
    """Stands for dnnlib's network class."""

    def __init__(self, **state: Any) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("executed")


class Persistent:
    """Stands for a module of NVIDIA's PyTorch code."""

    def __init__(self, state: dict[str, Any], version: int = 6, source: str = "raise SystemExit") -> None:
        self.meta = EasyDict(type="class", version=version, module_src=source, class_name="Generator", state=state)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconstruct_persistent_obj, (self.meta,)


@pytest.fixture
def foreign_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules by whose names NVIDIA's files call their classes, for as long as such files are written."""
    for module, member in (
        ("dnnlib.util", EasyDict),
        ("dnnlib.tflib.network", Network),
        ("torch_utils.persistence", _reconstruct_persistent_obj),
    ):
        made = types.ModuleType(module)
        setattr(made, member.__name__, member)
        monkeypatch.setitem(sys.modules, module, made)
        monkeypatch.setitem(sys.modules, module.split(".")[0], types.ModuleType(module.split(".")[0]))
        monkeypatch.setattr(member, "__module__", module)


def ada_names(generator: PaperStyleGAN2Generator) -> dict[str, Tensor]:
    """Names and shapes of stylegan2-ada-pytorch's G_ema."""
    ours = generator.state_dict()
    tensors = {"mapping.w_avg": ours["w_average"], "synthesis.b4.const": ours["start"][0]}
    for i in range(generator.config.mapping_layers):
        for part in ("weight", "bias"):
            tensors[f"mapping.fc{i}.{part}"] = ours[f"mapping.layers.{i}.{part}"]
    index = 0
    for k in range(len(generator.config.channels)):
        block = f"synthesis.b{4 * 2**k}"
        tensors[f"{block}.resample_filter"] = FILTER
        for conv in ("conv0", "conv1"):
            if f"blocks.{k}.{conv}.weight" in ours:
                for part in ("weight", "bias", "noise_strength", "affine.weight", "affine.bias"):
                    tensors[f"{block}.{conv}.{part}"] = ours[f"blocks.{k}.{conv}.{part}"]
                tensors[f"{block}.{conv}.noise_const"] = ours[f"noise_{index}"][0, 0]
                tensors[f"{block}.{conv}.resample_filter"] = FILTER
                index += 1
        if f"blocks.{k}.to_rgb.weight" in ours:
            for part in ("weight", "bias", "affine.weight", "affine.bias"):
                tensors[f"{block}.torgb.{part}"] = ours[f"blocks.{k}.to_rgb.{part}"]
        if f"blocks.{k}.skip" in ours:
            tensors[f"{block}.skip.weight"] = ours[f"blocks.{k}.skip"]
            tensors[f"{block}.skip.resample_filter"] = FILTER
    return tensors


BUFFERS = ("w_avg", "noise_const", "resample_filter", "freqs", "phases", "transform", "magnitude_ema")
BUFFERS += ("up_filter", "down_filter")


def persistent(tensors: dict[str, Tensor], **attributes: Any) -> Persistent:
    """The tree of modules behind dotted names."""
    state: dict[str, Any] = {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict()}
    for name in dict.fromkeys(name.partition(".")[0] for name in tensors):
        inner = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if inner:
            state["_modules"][name] = persistent(inner)
        elif name in BUFFERS:
            state["_buffers"][name] = tensors[name]
        else:
            state["_parameters"][name] = torch.nn.Parameter(tensors[name])
    return Persistent({"training": False, **state, **attributes})


def ada_content(tensors: dict[str, Tensor], *, c_dim: int = 0, flat: bool = False, **synthesis: Any) -> dict[str, Any]:
    """flat: settings of the synthesis network as the stylegan3 repository stores them."""
    settings = EasyDict(z_dim=6, c_dim=c_dim, w_dim=5, mapping_kwargs=EasyDict(num_layers=2))
    settings.update(synthesis if flat else {"synthesis_kwargs": synthesis})
    g_ema = persistent(tensors, _init_args=(), _init_kwargs=settings)
    return {"training_set_kwargs": EasyDict(path="cars"), "G": None, "D": None, "G_ema": g_ema, "augment_pipe": None}


def stylegan3_names(generator: StyleGAN3Generator) -> dict[str, Tensor]:
    """Names and shapes of stylegan3's G_ema."""
    ours = generator.state_dict()
    tensors = {"mapping.w_avg": ours["w_average"]}
    for i in range(generator.config.mapping_layers):
        for part in ("weight", "bias"):
            tensors[f"mapping.fc{i}.{part}"] = ours[f"mapping.layers.{i}.{part}"]
    for name, tensor in ours.items():
        kind, _, rest = name.partition(".")
        if kind == "input":
            tensors[f"synthesis.{name}"] = tensor
        if kind == "convolutions":
            index, _, part = rest.partition(".")
            width = (*generator.config.channels, 3)[int(index)]
            tensors[f"synthesis.L{index}_{generator.config.grids[int(index)].size}_{width}.{part}"] = tensor
    return tensors


def conditional(tensors: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """The same with an embedding of classes, whose 5 numbers follow those of z."""
    first = tensors["mapping.fc0.weight"]
    return {
        **tensors,
        "mapping.embed.weight": torch.randn(5, classes),
        "mapping.embed.bias": torch.randn(5),
        "mapping.fc0.weight": torch.cat([first, torch.randn(len(first), 5)], dim=1),
    }


def rosinality_names(generator: PaperStyleGAN2Generator) -> dict[str, Tensor]:
    """Names and shapes of rosinality's g_ema."""
    ours = generator.state_dict()
    tensors = {"input.input": ours["start"]}
    for i in range(generator.config.mapping_layers):
        for part in ("weight", "bias"):
            tensors[f"style.{i + 1}.{part}"] = ours[f"mapping.layers.{i}.{part}"]
    levels = len(generator.config.channels)
    layers = [("conv1", "blocks.0.conv1")]
    layers += [(f"convs.{2 * k + j - 2}", f"blocks.{k}.conv{j}") for k in range(1, levels) for j in (0, 1)]
    for index, (theirs, name) in enumerate(layers):
        tensors[f"{theirs}.conv.weight"] = ours[f"{name}.weight"][None]
        tensors[f"{theirs}.conv.modulation.weight"] = ours[f"{name}.affine.weight"]
        tensors[f"{theirs}.conv.modulation.bias"] = ours[f"{name}.affine.bias"]
        tensors[f"{theirs}.noise.weight"] = ours[f"{name}.noise_strength"][None]
        tensors[f"{theirs}.activate.bias"] = ours[f"{name}.bias"]
        tensors[f"noises.noise_{index}"] = ours[f"noise_{index}"]
        if name.endswith("conv0"):
            tensors[f"{theirs}.conv.blur.kernel"] = FILTER * 4
    for k, theirs in enumerate(["to_rgb1", *(f"to_rgbs.{k}" for k in range(levels - 1))]):
        name = f"blocks.{k}.to_rgb"
        tensors[f"{theirs}.conv.weight"] = ours[f"{name}.weight"][None]
        tensors[f"{theirs}.conv.modulation.weight"] = ours[f"{name}.affine.weight"]
        tensors[f"{theirs}.conv.modulation.bias"] = ours[f"{name}.affine.bias"]
        tensors[f"{theirs}.bias"] = ours[f"{name}.bias"].view(1, 3, 1, 1)
        if k:
            tensors[f"{theirs}.upsample.kernel"] = FILTER * 4
    return tensors


def rosinality_content(generator: PaperStyleGAN2Generator, *, training: bool) -> dict[str, Any]:
    names = OrderedDict(rosinality_names(generator))
    if not training:
        return {"g_ema": names, "latent_avg": generator.w_average}
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"betas": (0.0, 0.99)}]}
    return {"g": names, "d": {}, "g_ema": names, "g_optim": optimizer, "args": Namespace(size=16), "ada_aug_p": 0.1}


def tensorflow_content(mapping: list, synthesis: list, top: list, version: int, **kwargs: Any) -> tuple[Any, ...]:
    def network(variables: list, components: dict[str, Any], **static: Any) -> Network:
        return Network(
            version=version,
            name="G",
            static_kwargs=EasyDict(static),
            components=components,
            build_module_src="raise SystemExit",
            build_func_name="G_main",
            variables=[(name, value.numpy()) for name, value in variables],
        )

    components = {"mapping": network(mapping, EasyDict()), "synthesis": network(synthesis, EasyDict())}
    whole = network(top, EasyDict(components), func_name="training.networks.G_main", resolution=16, **kwargs)
    return whole, None, whole


def tensorflow2(generator: PaperStyleGAN2Generator, **kwargs: Any) -> tuple[Any, ...]:
    ours = generator.state_dict()
    mapping = [
        (f"Dense{i}/{part}", ours[f"mapping.layers.{i}.{part}"].t()) for i in (0, 1) for part in ("weight", "bias")
    ]
    synthesis = [("lod", torch.tensor(0.0)), ("4x4/Const/const", ours["start"])]
    synthesis += [(name.replace("_", ""), plane) for name, plane in ours.items() if name.startswith("noise_")]
    upper = range(1, len(generator.config.channels))
    for name, theirs in (
        ("blocks.0.conv1", "4x4/Conv"),
        ("blocks.0.to_rgb", "4x4/ToRGB"),
        *((f"blocks.{k}.conv0", f"{4 * 2**k}x{4 * 2**k}/Conv0_up") for k in upper),
        *((f"blocks.{k}.conv1", f"{4 * 2**k}x{4 * 2**k}/Conv1") for k in upper),
        *((f"blocks.{k}.to_rgb", f"{4 * 2**k}x{4 * 2**k}/ToRGB") for k in upper),
    ):
        if f"{name}.weight" in ours:
            weight = ours[f"{name}.weight"].permute(2, 3, 1, 0)
            synthesis += [
                (f"{theirs}/weight", weight.flip(0, 1) if theirs.endswith("up") else weight),
                (f"{theirs}/bias", ours[f"{name}.bias"]),
                (f"{theirs}/mod_weight", ours[f"{name}.affine.weight"].t()),
                (f"{theirs}/mod_bias", ours[f"{name}.affine.bias"] - 1),
            ]
        if f"{name}.noise_strength" in ours:
            synthesis.append((f"{theirs}/noise_strength", ours[f"{name}.noise_strength"]))
    for k in upper:
        if f"blocks.{k}.skip" in ours:
            synthesis.append((f"{4 * 2**k}x{4 * 2**k}/Skip/weight", ours[f"blocks.{k}.skip"].permute(2, 3, 1, 0)))
    top = [("lod", torch.tensor(0.0)), ("dlatent_avg", ours["w_average"])]
    return tensorflow_content(mapping, synthesis, top, 4, **kwargs)


def stylegan1_layers(generator: StyleGAN1Generator) -> list[tuple[str, str, str, str]]:
    """Of every resolution: its two layers in TensorFlow, its name, and the prefix of the first layer in the ports."""
    sides = [f"{4 * 2**k}x{4 * 2**k}" for k in range(1, len(generator.config.channels))]
    upper = [(f"{side}/Conv0_up", f"{side}/Conv1", side, "conv0_up.") for side in sides]
    return [("4x4/Const", "4x4/Conv", "4x4", ""), *upper]


def tensorflow1(generator: StyleGAN1Generator, **kwargs: Any) -> tuple[Any, ...]:
    ours = generator.state_dict()
    mapping = [
        (f"Dense{i}/{part}", ours[f"mapping.layers.{i}.{part}"].t()) for i in (0, 1) for part in ("weight", "bias")
    ]
    synthesis = [("lod", torch.tensor(0.0)), ("4x4/Const/const", ours["start"])]
    synthesis += [(name.replace("_", ""), plane) for name, plane in ours.items() if name.startswith("noise_")]
    for k, layers in enumerate(stylegan1_layers(generator)):
        for j, theirs in enumerate(layers[:2]):
            name = f"blocks.{k}.epilogue{j}"
            if f"{k}{j}" != "00":
                weight = ours[f"blocks.{k}.{'conv' if j else 'up'}"]
                synthesis.append((f"{theirs}/weight", weight.permute(2, 3, 1, 0)))
            synthesis += [
                (f"{theirs}/bias", ours[f"{name}.bias"]),
                (f"{theirs}/Noise/weight", ours[f"{name}.noise_weight"]),
                (f"{theirs}/StyleMod/weight", ours[f"{name}.affine.weight"].t()),
                (f"{theirs}/StyleMod/bias", ours[f"{name}.affine.bias"]),
            ]
    synthesis += [
        ("ToRGB_lod0/weight", ours["color_weight"].permute(2, 3, 1, 0)),
        ("ToRGB_lod0/bias", ours["color_bias"]),
    ]
    synthesis += [("ToRGB_lod1/weight", torch.ones(1, 1, 3, 3)), ("ToRGB_lod1/bias", torch.ones(3))]
    top = [("lod", torch.tensor(0.0)), ("dlatent_avg", ours["w_average"])]
    return tensorflow_content(mapping, synthesis, top, 3, **kwargs)


def port_names(generator: StyleGAN1Generator) -> OrderedDict[str, Tensor]:
    """The state dict of a PyTorch port of StyleGAN1."""
    ours = generator.state_dict()
    tensors = {
        f"g_mapping.dense{i}.{part}": ours[f"mapping.layers.{i}.{part}"] for i in (0, 1) for part in ("weight", "bias")
    }
    for k, (_, _, side, up) in enumerate(stylegan1_layers(generator)):
        block = f"g_synthesis.blocks.{side}"
        if k:
            tensors[f"{block}.conv0_up.weight"] = ours[f"blocks.{k}.up"]
            tensors[f"{block}.conv0_up.intermediate.kernel"] = FILTER1[None, None]
        else:
            tensors[f"{block}.const"] = ours["start"]
        tensors[f"{block}.{up}bias"] = ours[f"blocks.{k}.epilogue0.bias"]
        second = "conv1" if k else "conv"
        tensors[f"{block}.{second}.weight"] = ours[f"blocks.{k}.conv"]
        tensors[f"{block}.{second}.bias"] = ours[f"blocks.{k}.epilogue1.bias"]
        for j in (0, 1):
            theirs = f"{block}.epi{j + 1}"
            tensors[f"{theirs}.top_epi.noise.weight"] = ours[f"blocks.{k}.epilogue{j}.noise_weight"]
            tensors[f"{theirs}.style_mod.lin.weight"] = ours[f"blocks.{k}.epilogue{j}.affine.weight"]
            tensors[f"{theirs}.style_mod.lin.bias"] = ours[f"blocks.{k}.epilogue{j}.affine.bias"]
    tensors["g_synthesis.torgb.weight"] = ours["color_weight"]
    tensors["g_synthesis.torgb.bias"] = ours["color_bias"]
    return OrderedDict(tensors)


def pickled(content: Any, protocol: int = 4) -> bytes:
    return pickle.dumps(content, protocol)


def torch_saved(content: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()
