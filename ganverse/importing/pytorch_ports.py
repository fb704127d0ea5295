"""PyTorch ports: StyleGAN2 in rosinality's checkpoints, StyleGAN1 in the ports that DatasetGAN uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ganverse.importing.conversion import (
    Imported,
    Rule,
    average_of,
    convert,
    level,
    low_pass,
    named,
    stylegan1_config,
    stylegan2_config,
)
from ganverse.importing.torch_files import TensorReader

LICENSE2 = (
    "rosinality's file format (code MIT); weights that were converted from NVIDIA's stay under its non-commercial "
    "Source Code License, others under the license of those who trained them"
)
LICENSE1 = (
    "a PyTorch port's file format; weights that were converted from NVIDIA's StyleGAN1 stay under CC BY-NC 4.0, "
    "others under the license of those who trained them"
)
_MODULE = "module."


def _layer(part: str) -> Callable[[re.Match[str]], str]:
    """rosinality's conv1, convs.0, convs.1, ... are consecutive convolutions; to_rgb1, to_rgbs.0, ... the blocks."""

    def place(match: re.Match[str]) -> str:
        index = int(match["index"] or 0) + (match["index"] is not None)
        if match["kind"] == "to_rgb":
            return f"blocks.{index}.to_rgb.{part}"
        return f"blocks.{(index + 1) // 2}.conv{(index + 1) % 2}.{part}"

    return place


def _squeezed(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


_LAYER = r"(?P<kind>conv|to_rgb)(1|s\.(?P<index>\d{1,2}))\."
_STYLEGAN2 = (
    Rule(r"input\.input", "start"),
    Rule(r"style\.(\d{1,2})\.(weight|bias)", lambda m: f"mapping.layers.{int(m[1]) - 1}.{m[2]}"),
    Rule(_LAYER + r"conv\.weight", _layer("weight"), _squeezed),
    Rule(_LAYER + r"conv\.modulation\.weight", _layer("affine.weight")),
    Rule(_LAYER + r"conv\.modulation\.bias", _layer("affine.bias")),
    Rule(_LAYER + r"noise\.weight", _layer("noise_strength"), _squeezed),
    Rule(_LAYER + r"activate\.bias", _layer("bias")),
    Rule(_LAYER + r"bias", _layer("bias"), lambda t: t[0, :, 0, 0]),
    Rule(r"noises\.noise_(\d{1,2})", r"noise_\1"),
    Rule(r".*\.kernel", None, low_pass),
    Rule("latent_avg", "w_average", average_of),
)


def reads_stylegan2(value: Any) -> bool:
    """Whether the value is one of rosinality's checkpoints, converted (g_ema, latent_avg) or from training."""
    return isinstance(value, dict) and "g_ema" in value


def read_stylegan2(value: Any, reader: TensorReader) -> Imported:
    """The generator `g_ema`, with the average of w if the file has it; everything else is ignored.

    Raises:
        GanverseError: it is not a complete StyleGAN2.
    """
    records = _state_dict(value["g_ema"])
    if value.get("latent_avg") is not None:
        records["latent_avg"] = value["latent_avg"]
    weights = convert(reader.tensors(records.items()), _STYLEGAN2)
    return Imported("StyleGAN2, PyTorch, rosinality's checkpoint", stylegan2_config(weights), weights, LICENSE2)


_BLOCK = r"g_synthesis\.blocks\.(?P<side>\d{1,4})x(?P=side)\."
_STYLEGAN1 = (
    Rule(r"g_mapping\.dense(\d{1,2})\.(weight|bias)", r"mapping.layers.\1.\2"),
    Rule(r"g_synthesis\.torgb\.(weight|bias)", r"color_\1"),
    Rule(r"g_synthesis\.blocks\.4x4\.const", "start"),
    Rule(_BLOCK + r"conv0_up\.weight", lambda m: f"blocks.{level(m['side'])}.up"),
    Rule(_BLOCK + r"conv1?\.weight", lambda m: f"blocks.{level(m['side'])}.conv"),
    Rule(_BLOCK + r"(conv0_up\.)?bias", lambda m: f"blocks.{level(m['side'])}.epilogue0.bias"),
    Rule(_BLOCK + r"conv1?\.bias", lambda m: f"blocks.{level(m['side'])}.epilogue1.bias"),
    Rule(
        _BLOCK + r"epi(?P<number>[12])\.top_epi\.noise\.weight",
        lambda m: f"blocks.{level(m['side'])}.epilogue{int(m['number']) - 1}.noise_weight",
    ),
    Rule(
        _BLOCK + r"epi(?P<number>[12])\.style_mod\.lin\.(?P<part>weight|bias)",
        lambda m: f"blocks.{level(m['side'])}.epilogue{int(m['number']) - 1}.affine.{m['part']}",
    ),
    Rule(r".*\.intermediate\.kernel", None, lambda t: low_pass(t, (1.0, 2.0, 1.0))),
)


def reads_stylegan1(value: Any) -> bool:
    """Whether the value is the state dict of such a port."""
    names = value if isinstance(value, dict) else ()
    return any(isinstance(name, str) and name.removeprefix(_MODULE).startswith("g_synthesis.") for name in names)


def read_stylegan1(value: Any, reader: TensorReader) -> Imported:
    """The generator; such files have neither the average of w nor noise planes.

    Raises:
        GanverseError: it is not a complete StyleGAN1.
    """
    weights = convert(reader.tensors(_state_dict(value).items()), _STYLEGAN1)
    return Imported("StyleGAN1, PyTorch port", stylegan1_config(weights), weights, LICENSE1)


def _state_dict(value: Any) -> dict[str, Any]:
    """Records by name, without the `module.` prefix of torch's DataParallel."""
    wrapped = all(name.startswith(_MODULE) for name in named(value, "state dict"))
    return {name.removeprefix(_MODULE) if wrapped else name: record for name, record in value.items()}
